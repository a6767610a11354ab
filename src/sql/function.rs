//! Function calls and operators. A name that a user's schema also defines counts as that function
//! too, whatever the argument types would pick: which overload runs is Postgres's choice, and all
//! that it could be must be allowed.

use pg_raw_parse::{ConstValue, Node, list::NodeList, nodes};

use crate::access::Use;
use crate::ident::QualifiedName;
use crate::refusal::Refusal;

use super::analyser::{Analyser, at, strings};
use super::expression::Made;
use super::scope::{Scope, merge};
use super::settable;

/// The schema of built-in functions and operators.
const BUILT_IN: &str = "pg_catalog";

impl<'a> Analyser<'a> {
    pub(super) fn function_call(
        &mut self,
        call: &'a nodes::FuncCall,
        scope: &Scope<'a, '_>,
        used: Use,
    ) -> Result<Made, Refusal> {
        self.function_name(call, false)?;
        let mut made = self.expressions(call.args().iter(), scope, used)?;
        for sort in call.agg_order() {
            let more = self.sort(sort, scope)?;
            merge(&mut made, &more);
        }
        let more = self.expression(call.agg_filter(), scope, used)?;
        merge(&mut made, &more);
        if let Some(window) = call.over() {
            let more = self.window(window, scope)?;
            merge(&mut made, &more);
            if let Some(named) = self.windows.last()
                && (window.name().is_some() || window.refname().is_some())
            {
                merge(&mut made, named);
            }
        }
        Ok(made)
    }

    /// Records the functions that a call may run.
    pub(super) fn function_name(
        &mut self,
        call: &'a nodes::FuncCall,
        procedure: bool,
    ) -> Result<(), Refusal> {
        let parts = strings(call.funcname()).unwrap_or_default();
        let (schema, name) = match parts.as_slice() {
            [name] => (None, *name),
            [schema, name] => (Some(*schema), *name),
            _ => {
                return Err(at(
                    Refusal::unsupported("function name has too many parts"),
                    call.location,
                ));
            }
        };
        self.names.function(name);
        // With one argument it may be a cast written as a call.
        self.use_type_named(name);
        let setting = matches!(schema, None | Some(BUILT_IN)) && setting_function(name);
        if setting {
            self.setting_call(name, call)?;
        }
        if let Some(schema) = schema {
            if !setting {
                self.use_function(QualifiedName::new(schema, name), procedure, call.location);
            }
            return Ok(());
        }
        let schemas: Vec<String> = self
            .ground
            .snapshot
            .functions_named(name)
            .map(|function| function.schema.clone())
            .collect();
        let mut seen: Vec<&str> = Vec::new();
        for schema in &schemas {
            if !seen.contains(&schema.as_str()) {
                seen.push(schema);
                self.use_function(QualifiedName::new(schema, name), procedure, call.location);
            }
        }
        // What nothing is known of counts as built in, and is then not on the list of safe ones.
        if !setting && (schemas.is_empty() || self.ground.snapshot.is_builtin_function(name)) {
            self.use_function(QualifiedName::new(BUILT_IN, name), procedure, call.location);
        }
        Ok(())
    }

    /// `value.name` calls the function `name` where the value has no such field (Postgres manual,
    /// section 8.16.5), or casts to the type of that name. Every one of them counts.
    pub(super) fn field_function(&mut self, name: &'a str, location: i32) {
        self.use_type_named(name);
        let snapshot = self.ground.snapshot;
        let users: Vec<QualifiedName> = snapshot
            .functions_named(name)
            .map(|function| QualifiedName::new(&function.schema, &function.name))
            .collect();
        for function in users {
            self.use_function(function, false, location);
        }
        if snapshot.is_builtin_function(name) {
            self.use_function(QualifiedName::new(BUILT_IN, name), false, location);
        }
    }

    /// `set_config` and `current_setting` are SET and SHOW by another name and follow the same
    /// rules. The name that is shown may also be a parameter, which is then judged when it is
    /// bound (drivers write it that way); anything else that is computed is refused.
    fn setting_call(&mut self, name: &str, call: &'a nodes::FuncCall) -> Result<(), Refusal> {
        let mut arguments = call.args().iter();
        let first = arguments.next().unwrap_or(Node::None);
        let second = arguments.next().and_then(literal).unwrap_or("?");
        let checked = match (name, literal(first), parameter(first)) {
            ("set_config", Some("search_path"), _) => Err(Refusal::unsupported(
                "search_path cannot be set by set_config",
            )
            .with_hint("use SET search_path")),
            ("set_config", Some(setting), _) => settable::check_set(setting, &[second]),
            ("current_setting", Some(setting), _) => settable::check_show(setting),
            ("current_setting", None, Some(number)) => {
                self.setting_parameters.push(number);
                Ok(())
            }
            _ => Err(Refusal::unsupported(format!(
                "the setting's name in {name} must be a constant"
            ))
            .with_hint("use SET or SHOW")),
        };
        checked.map_err(|refusal| at(refusal, call.location))
    }

    /// Records the functions behind an operator, where users have defined one of that name.
    pub(super) fn operator_names(
        &mut self,
        list: &'a NodeList,
        location: i32,
    ) -> Result<(), Refusal> {
        let Some(parts) = strings(list) else {
            return Err(at(
                Refusal::unsupported("operator name is not understood"),
                location,
            ));
        };
        let Some(name) = parts.last() else {
            return Ok(());
        };
        if parts.len() > 1 && parts.first() == Some(&BUILT_IN) {
            return Ok(());
        }
        self.operator_named(name, location);
        Ok(())
    }
}

fn setting_function(name: &str) -> bool {
    matches!(name, "set_config" | "current_setting")
}

/// The number of a parameter, through casts.
fn parameter(node: Node<'_>) -> Option<u32> {
    if let Node::TypeCast(cast) = node {
        return parameter(cast.arg());
    }
    let Node::ParamRef(parameter) = node else {
        return None;
    };
    u32::try_from(parameter.number).ok()
}

/// A constant as text; booleans are shown as words.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "anything else is no literal"
)]
fn literal(node: Node<'_>) -> Option<&str> {
    let constant = match node {
        Node::A_Const(constant) => constant,
        Node::TypeCast(cast) => return literal(cast.arg()),
        _ => return None,
    };
    match constant.val()? {
        ConstValue::String(text) => Some(text),
        ConstValue::Boolean(true) => Some("true"),
        ConstValue::Boolean(false) => Some("false"),
        _ => None,
    }
}
