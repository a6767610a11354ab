//! The `when` of a grant: hours, days, time zone, networks, purposes. Read once when the policy is
//! loaded (which is when the time zone's rules are looked up); asked with the moment and the
//! client's address as parameters. It never looks at a clock.

use core::net::IpAddr;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use crate::clock::Timestamp;

const MINUTES_OF_A_DAY: u16 = 24 * 60;

/// When and from where a grant holds. The default holds always.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions {
    pub(super) hours: Option<Hours>,
    pub(super) days: Option<Days>,
    /// What hours and days are read in; UTC where the policy names none.
    pub(super) zone: Option<TimeZone>,
    pub(super) networks: Option<Vec<Network>>,
    /// Purposes of which the token must carry one.
    pub(super) purposes: Option<Vec<String>>,
}

/// Which condition does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unmet {
    /// Hours or days.
    Time,
    /// The client's address.
    Network,
}

impl Conditions {
    /// Whether time and place are right; purposes are the token's and asked elsewhere.
    pub(super) fn holds(&self, now: Timestamp, client: Option<IpAddr>) -> Result<(), Unmet> {
        if !self.is_the_time(now) {
            return Err(Unmet::Time);
        }
        let Some(networks) = &self.networks else {
            return Ok(());
        };
        match client {
            Some(client) if networks.iter().any(|one| one.contains(client)) => Ok(()),
            Some(_) | None => Err(Unmet::Network),
        }
    }

    fn is_the_time(&self, now: Timestamp) -> bool {
        if self.hours.is_none() && self.days.is_none() {
            return true;
        }
        let Ok(moment) = jiff::Timestamp::from_microsecond(now.micros()) else {
            return false;
        };
        let zone = self.zone.clone().unwrap_or(TimeZone::UTC);
        let local = zone.to_datetime(moment);
        let clock = (u16::try_from(local.hour()), u16::try_from(local.minute()));
        let (Ok(hour), Ok(minute)) = clock else {
            return false;
        };
        let minute = hour.saturating_mul(60).saturating_add(minute);
        self.covers(local.weekday(), minute)
    }

    /// Hours that run past midnight belong to the day on which they begin.
    fn covers(&self, day: Weekday, minute: u16) -> bool {
        let days = self.days.unwrap_or(Days::ALL);
        let Hours { from, to } = self.hours.unwrap_or(Hours::ALL);
        if from < to {
            return days.has(day) && from <= minute && minute < to;
        }
        (from <= minute && days.has(day)) || (minute < to && days.has(day.previous()))
    }
}

/// Minutes of a day, the end left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hours {
    from: u16,
    to: u16,
}

impl Hours {
    const ALL: Self = Self {
        from: 0,
        to: MINUTES_OF_A_DAY,
    };

    /// Reads `07:00-20:00`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let (from, to) = (minute_of_day(from)?, minute_of_day(to)?);
        (from != to && from != MINUTES_OF_A_DAY).then_some(Self { from, to })
    }
}

fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let two_digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !two_digits(hour) || !two_digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let total = hour.checked_mul(60)?.checked_add(minute)?;
    (minute < 60 && total <= MINUTES_OF_A_DAY).then_some(total)
}

/// Days of the week, one bit each, Monday lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Days(u8);

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

impl Days {
    const ALL: Self = Self(0b111_1111);

    /// Reads `mon-fri`, `sat,sun`, `fri-mon,wed`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut days = Self(0);
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (mut day, last) = (weekday(first)?, weekday(last)?);
            days.add(day);
            while day != last {
                day = day.next();
                days.add(day);
            }
        }
        Some(days)
    }

    fn add(&mut self, day: Weekday) {
        self.0 |= bit(day);
    }

    fn has(self, day: Weekday) -> bool {
        self.0 & bit(day) != 0
    }
}

fn bit(day: Weekday) -> u8 {
    let place = u32::try_from(day.to_monday_zero_offset()).unwrap_or(u32::MAX);
    1u8.checked_shl(place).unwrap_or(0)
}

fn weekday(text: &str) -> Option<Weekday> {
    let text = text.trim();
    let found = DAYS.into_iter().find(|(word, _)| *word == text);
    found.map(|(_, day)| day)
}

/// Addresses that begin with the same bits (RFC 4632 section 3.1, RFC 4291 section 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32` or a single address.
    ///
    /// # Errors
    /// What is wrong with it, in words for a DBA.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| "expected an address such as 10.0.0.0/8 or 2001:db8::/32".to_owned())?;
        let bits_max = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        let bits = match bits {
            None => bits_max,
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|bits| *bits <= bits_max)
                .ok_or_else(|| format!("expected a prefix length up to {bits_max}"))?,
        };
        let network = Self { address, bits };
        if network.prefix(address) == Some(raw(address)) {
            Ok(network)
        } else {
            Err(format!("the address has bits set beyond its first {bits}"))
        }
    }

    /// Whether the address is in the network; an IPv4 address in IPv6 clothes is an IPv4 address.
    pub(super) fn contains(&self, client: IpAddr) -> bool {
        let prefix = self.prefix(client.to_canonical());
        prefix.is_some() && prefix == Some(raw(self.address))
    }

    /// The address cut to the network's bits; `None` where it is of the other family.
    fn prefix(&self, address: IpAddr) -> Option<u128> {
        let width: u32 = match (self.address, address) {
            (IpAddr::V4(_), IpAddr::V4(_)) => 32,
            (IpAddr::V6(_), IpAddr::V6(_)) => 128,
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        };
        let cut = u128::MAX.checked_shl(width.saturating_sub(self.bits));
        Some(raw(address) & cut.unwrap_or(0))
    }
}

fn raw(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        let moment: jiff::Timestamp = time.parse().unwrap();
        Timestamp::from_micros(moment.as_microsecond())
    }

    fn when(hours: Option<&str>, days: Option<&str>, zone: Option<&str>) -> Conditions {
        Conditions {
            hours: hours.map(|text| Hours::parse(text).unwrap()),
            days: days.map(|text| Days::parse(text).unwrap()),
            zone: zone.map(|name| TimeZone::get(name).unwrap()),
            ..Conditions::default()
        }
    }

    const MOMENTS: &[(Option<&str>, Option<&str>, Option<&str>, &str, bool)] = &[
        (None, None, None, "2024-06-07T03:00:00Z", true),
        (
            Some("07:00-20:00"),
            None,
            None,
            "2024-06-07T07:00:00Z",
            true,
        ),
        (
            Some("07:00-20:00"),
            None,
            None,
            "2024-06-07T06:59:59Z",
            false,
        ),
        (
            Some("07:00-20:00"),
            None,
            None,
            "2024-06-07T20:00:00Z",
            false,
        ),
        (
            Some("07:00-24:00"),
            None,
            None,
            "2024-06-07T23:59:59Z",
            true,
        ),
        (
            Some("22:00-06:00"),
            None,
            None,
            "2024-06-07T23:00:00Z",
            true,
        ),
        (
            Some("22:00-06:00"),
            None,
            None,
            "2024-06-07T05:59:00Z",
            true,
        ),
        (
            Some("22:00-06:00"),
            None,
            None,
            "2024-06-07T06:00:00Z",
            false,
        ),
        // the night from Friday to Saturday is Friday's
        (
            Some("22:00-06:00"),
            Some("mon-fri"),
            None,
            "2024-06-08T03:00:00Z",
            true,
        ),
        (
            Some("22:00-06:00"),
            Some("mon-fri"),
            None,
            "2024-06-10T03:00:00Z",
            false,
        ),
        (None, Some("mon-fri"), None, "2024-06-07T12:00:00Z", true),
        (None, Some("mon-fri"), None, "2024-06-08T12:00:00Z", false),
        (None, Some("sat-mon"), None, "2024-06-09T12:00:00Z", true),
        (None, Some("sat-mon"), None, "2024-06-11T12:00:00Z", false),
        (None, Some("tue, fri"), None, "2024-06-07T12:00:00Z", true),
        (
            Some("07:00-20:00"),
            None,
            Some("Europe/Berlin"),
            "2024-06-07T05:00:00Z",
            true,
        ),
        (
            Some("07:00-20:00"),
            None,
            Some("Europe/Berlin"),
            "2024-01-05T05:30:00Z",
            false,
        ),
        (
            None,
            Some("sat"),
            Some("Asia/Tokyo"),
            "2024-06-07T16:00:00Z",
            true,
        ),
    ];

    #[test]
    fn hours_and_days() {
        // 2024-06-07 was a Friday.
        for (hours, days, zone, time, expected) in MOMENTS.iter().copied() {
            let holds = when(hours, days, zone).holds(at(time), None).is_ok();
            assert_eq!(holds, expected, "{hours:?} {days:?} {zone:?} {time}");
        }
        let far = Timestamp::from_micros(i64::MAX);
        assert_eq!(
            when(Some("07:00-20:00"), None, None).holds(far, None),
            Err(Unmet::Time)
        );
    }

    #[test]
    fn what_is_not_an_hour_or_a_day() {
        for text in [
            "",
            "07:00",
            "7:00-8:00",
            "07:00-07:00",
            "24:00-08:00",
            "07:60-08:00",
            "07:00-25:00",
            "07:00-08:00-09:00",
            "+7:00-08:00",
        ] {
            assert_eq!(Hours::parse(text), None, "{text}");
        }
        for text in ["", "monday", "mon-", "mon,", "Mon", "mon-fri-sun"] {
            assert_eq!(Days::parse(text), None, "{text}");
        }
    }

    #[test]
    fn networks() {
        for (network, client, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "::10.1.2.3", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("192.0.2.6/31", "192.0.2.7", true),
            ("2001:db8::/32", "2001:db8:1::", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("::/0", "2001:db8::1", true),
        ] {
            let parsed = Network::parse(network).unwrap();
            assert_eq!(
                parsed.contains(client.parse().unwrap()),
                expected,
                "{network} {client}"
            );
        }
        for wrong in [
            "",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0.0/-1",
            "10.0.0.0/",
            "10.0.0/8",
            "2001:db8::/129",
            "2001:db8::1/32",
            "localhost",
        ] {
            assert!(Network::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_unknown_client_is_in_no_network() {
        let conditions = Conditions {
            networks: Some(vec![Network::parse("0.0.0.0/0").unwrap()]),
            ..Conditions::default()
        };
        let now = at("2024-06-07T12:00:00Z");
        assert_eq!(conditions.holds(now, None), Err(Unmet::Network));
        let client = Some("192.0.2.1".parse().unwrap());
        assert_eq!(conditions.holds(now, client), Ok(()));
    }
}
