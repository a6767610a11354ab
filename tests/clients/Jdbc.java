// The Postgres JDBC driver: its metadata queries, prepared statements from the first execution on,
// binary results, portals with a fetch size, batches, generated keys, refusals, cancel by timeout.
// Run as a single source file; the test's variables are described in `run`.

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.Properties;

public class Jdbc {
    private static final String REFUSED = "SELECT ssn FROM customers";
    private static int passed = 0;

    private static void check(String what, Object expected, Object actual) {
        if (!Objects.equals(expected, actual)) {
            throw new AssertionError(what + ": expected " + expected + ", got " + actual);
        }
        passed++;
    }

    private interface Part {
        void run() throws SQLException;
    }

    private static void checkState(String what, String state, Part part) {
        try {
            part.run();
        } catch (SQLException refusal) {
            check(what, state, refusal.getSQLState());
            return;
        }
        throw new AssertionError(what + ": expected SQLSTATE " + state + ", got an answer");
    }

    /** prepareThreshold: executions before a statement is prepared on the server; -1: at once, binary. */
    private static Connection connect(String prepareThreshold) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", System.getenv("PGWARD_USER"));
        properties.setProperty("prepareThreshold", prepareThreshold);
        properties.setProperty("connectTimeout", "10");
        String token = System.getenv("PGWARD_TOKEN");
        if ("options".equals(System.getenv("PGWARD_CHANNEL"))) {
            properties.setProperty("options", "-c pgward.token=" + token);
        } else {
            properties.setProperty("password", token);
        }
        String certificate = System.getenv("PGWARD_SSLROOTCERT");
        if (certificate != null && !certificate.isEmpty()) {
            properties.setProperty("sslmode", "verify-full");
            properties.setProperty("sslrootcert", certificate);
        }
        String url = "jdbc:postgresql://" + System.getenv("PGWARD_HOST") + ":"
            + System.getenv("PGWARD_PORT") + "/" + System.getenv("PGWARD_DB");
        return DriverManager.getConnection(url, properties);
    }

    /** The values of one column, sorted: for keys and names the driver's order says nothing. */
    private static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> values = new ArrayList<>();
        while (rows.next()) {
            values.add(rows.getString(name));
        }
        rows.close();
        Collections.sort(values);
        return values;
    }

    private static void metadata(Connection conn) throws SQLException {
        DatabaseMetaData metadata = conn.getMetaData();
        check("product", "PostgreSQL", metadata.getDatabaseProductName());
        List<String> tables = column(
            metadata.getTables(null, "public", "%", new String[] {"TABLE", "VIEW"}), "TABLE_NAME");
        check("getTables", true, tables.containsAll(Arrays.asList("customers", "orders", "order_totals")));
        check("getColumns", Arrays.asList("attributes", "id", "name", "price", "sku", "tags"),
            column(metadata.getColumns(null, "public", "products", "%"), "COLUMN_NAME"));
        check("getPrimaryKeys", Arrays.asList("line", "order_id"),
            column(metadata.getPrimaryKeys(null, "public", "order_items"), "COLUMN_NAME"));
        check("getImportedKeys", Arrays.asList("customers"),
            column(metadata.getImportedKeys(null, "public", "orders"), "PKTABLE_NAME"));
        check("getIndexInfo", true,
            column(metadata.getIndexInfo(null, "public", "orders", false, true), "INDEX_NAME")
                .contains("orders_customer"));
        check("getSchemas", true, column(metadata.getSchemas(), "TABLE_SCHEM").contains("public"));
    }

    private static void queries(Connection conn, String way) throws SQLException {
        try (Statement statement = conn.createStatement();
                ResultSet rows = statement.executeQuery("SELECT name FROM products WHERE id = 1")) {
            rows.next();
            check("a query, " + way, "Green tea", rows.getString(1));
        }
        try (PreparedStatement statement = conn.prepareStatement(
                "SELECT p.id, p.price, o.placed_at, p.tags, o.status FROM products p, orders o"
                    + " WHERE p.id = ? AND o.id = ?")) {
            for (int id = 1; id <= 8; id++) {
                statement.setInt(1, id);
                statement.setInt(2, 1);
                try (ResultSet rows = statement.executeQuery()) {
                    rows.next();
                    check("a parameter, " + way, id, rows.getInt(1));
                    check("a time, " + way, OffsetDateTime.parse("2024-01-04T15:00:00Z").toInstant(),
                        rows.getObject(3, OffsetDateTime.class).toInstant());
                    if (id == 1) {
                        check("a numeric, " + way, new BigDecimal("6.50"), rows.getBigDecimal(2));
                        check("an array, " + way, Arrays.asList("tea", "organic"),
                            Arrays.asList((Object[]) rows.getArray(4).getArray()));
                        check("an enum, " + way, "paid", rows.getString(5));
                    }
                }
            }
        }
        try (PreparedStatement statement = conn.prepareStatement("SELECT name, region FROM customers WHERE id = ?")) {
            statement.setInt(1, 1);
            ResultSet rows = statement.executeQuery();
            rows.next();
            check("columns that are open, " + way, "Ben Brandt/US", rows.getString(1) + "/" + rows.getString(2));
            check("their names, " + way, "region", rows.getMetaData().getColumnName(2));
        }
    }

    private static void portals(Connection conn) throws SQLException {
        conn.setAutoCommit(false);
        try (PreparedStatement statement = conn.prepareStatement("SELECT id FROM products ORDER BY id")) {
            statement.setFetchSize(3);
            check("a fetch size", Arrays.asList("1", "2", "3", "4", "5", "6", "7", "8"),
                column(statement.executeQuery(), "id"));
        }
        conn.commit();
        conn.setAutoCommit(true);
    }

    private static int tickets(Connection conn) throws SQLException {
        try (Statement statement = conn.createStatement();
                ResultSet rows = statement.executeQuery("SELECT count(*) FROM tickets WHERE subject = 'by JDBC'")) {
            rows.next();
            return rows.getInt(1);
        }
    }

    private static void batches(Connection conn) throws SQLException {
        conn.setAutoCommit(false);
        try (PreparedStatement statement = conn.prepareStatement(
                "INSERT INTO tickets (subject, body) VALUES (?, ?)", new String[] {"id"})) {
            for (int n = 0; n < 100; n++) {
                statement.setString(1, "by JDBC");
                statement.setString(2, "ticket " + n);
                statement.addBatch();
            }
            check("a batch", 100, Arrays.stream(statement.executeBatch()).sum());
            check("generated keys", 100, column(statement.getGeneratedKeys(), "id").size());
        }
        check("inserted", 100, tickets(conn));
        conn.rollback();
        check("the rollback", 0, tickets(conn));
        conn.rollback();
        conn.setAutoCommit(true);
    }

    private static void refusals(Connection conn, String way) throws SQLException {
        try (Statement statement = conn.createStatement()) {
            checkState("a refusal, " + way, "42501", () -> statement.executeQuery(REFUSED));
        }
        try (PreparedStatement statement = conn.prepareStatement(REFUSED + " WHERE id = ?")) {
            // Often: the driver turns to a named statement on the way.
            for (int n = 0; n < 7; n++) {
                statement.setInt(1, n);
                checkState("a refusal with a parameter, " + way, "42501", statement::executeQuery);
            }
        }
        try (PreparedStatement statement = conn.prepareStatement("SELECT name FROM products WHERE id = ?")) {
            statement.setInt(1, 1);
            check("the session goes on, " + way, Arrays.asList("Green tea"), column(statement.executeQuery(), "name"));
        }
        conn.setAutoCommit(false);
        try (Statement statement = conn.createStatement()) {
            checkState("a refusal in a transaction, " + way, "42501", () -> statement.executeQuery(REFUSED));
            checkState("the transaction is over, " + way, "25P02",
                () -> statement.executeQuery("SELECT name FROM products WHERE id = 1"));
            conn.rollback();
            check("and the next one goes, " + way, Arrays.asList("Green tea"),
                column(statement.executeQuery("SELECT name FROM products WHERE id = 1"), "name"));
        }
        conn.commit();
        conn.setAutoCommit(true);
    }

    private static void cancel(Connection conn) throws SQLException {
        // 8 to the power of 12 rows to count: more than anybody waits for.
        StringBuilder endless = new StringBuilder("SELECT count(*) FROM products p0");
        for (int n = 1; n < 12; n++) {
            endless.append(", products p").append(n);
        }
        try (Statement statement = conn.createStatement()) {
            statement.setQueryTimeout(1);
            checkState("cancel", "57014", () -> statement.executeQuery(endless.toString()));
            statement.setQueryTimeout(0);
            check("after a cancel", Arrays.asList("Green tea"),
                column(statement.executeQuery("SELECT name FROM products WHERE id = 1"), "name"));
        }
    }

    public static void main(String[] arguments) {
        try {
            for (String threshold : new String[] {"5", "1", "-1"}) {
                String way = "prepareThreshold " + threshold;
                try (Connection conn = connect(threshold)) {
                    queries(conn, way);
                    refusals(conn, way);
                    portals(conn);
                    batches(conn);
                }
            }
            try (Connection conn = connect("5")) {
                metadata(conn);
                cancel(conn);
            }
        } catch (SQLException | RuntimeException | AssertionError failure) {
            failure.printStackTrace(System.out);
            System.out.println("failed jdbc: " + failure.getMessage());
            System.exit(1);
        }
        System.out.println("ok jdbc: " + passed + " checks");
    }
}
