-- One row, one JSON column: the catalog snapshot (src/catalog/document.rs says its shape).
-- Run with the role's own search_path: what pg_get_viewdef leaves unqualified resolves by it.
WITH RECURSIVE shown AS (
    SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND n.nspname !~ '^pg_(toast|temp)'
), outside AS (
    -- Code outside pg_catalog. C code that is not volatile, which only superusers install and which
    -- computes from its arguments (citext, hstore, vector types), does not count where it runs unasked.
    SELECT p.oid, n.nspname AS schema, p.proname AS name
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_language l ON l.oid = p.prolang
    WHERE n.nspname <> 'pg_catalog'
      AND NOT (l.lanname IN ('c', 'internal') AND p.provolatile <> 'v')
), code (class, object, function) AS (
    -- What names such code, itself or by an operator: checks, generated columns.
    SELECT d.classid, d.objid, o.oid FROM pg_depend d JOIN outside o ON o.oid = d.refobjid
    WHERE d.refclassid = 'pg_proc'::regclass
    UNION
    SELECT d.classid, d.objid, o.oid FROM pg_depend d JOIN pg_operator p ON p.oid = d.refobjid
    JOIN outside o ON o.oid = p.oprcode
    WHERE d.refclassid = 'pg_operator'::regclass
), by_literal (operator) AS (
    -- Operators outside pg_catalog that Postgres can find for a literal whose type is not written:
    -- without a built-in one of that name that it would prefer.
    SELECT p.oid FROM pg_operator p
    WHERE p.oprnamespace <> 'pg_catalog'::regnamespace
      AND EXISTS (
        SELECT 1 FROM unnest(ARRAY['text'::regtype::oid, p.oprleft, p.oprright]) AS side (type)
        WHERE side.type <> 0
          AND (side.type = 'text'::regtype OR EXISTS (
              SELECT 1 FROM pg_type t WHERE t.oid = side.type
              AND t.typnamespace = 'pg_catalog'::regnamespace))
          AND NOT EXISTS (
              SELECT 1 FROM pg_operator b
              WHERE b.oprnamespace = 'pg_catalog'::regnamespace AND b.oprname = p.oprname
                AND b.oprleft = side.type AND b.oprright = side.type))
), named (name, operator) AS (
    -- An operator's function runs under its own name, and under those which the planner swaps for it.
    SELECT p.oprname, p.oid FROM pg_operator p
    UNION
    SELECT m.name, other.oid
    FROM named m JOIN pg_operator p ON p.oid = m.operator
    JOIN pg_operator other ON other.oid IN (p.oprnegate, p.oprcom)
), runs (operator, function, type) AS (
    -- Which functions run for which types, and by which operator where one has to be written.
    -- Casts, by whichever of their types is not built in.
    SELECT 0::oid, c.castfunc, t.oid
    FROM pg_cast c JOIN outside o ON o.oid = c.castfunc
    LEFT JOIN pg_type t ON t.oid IN (c.castsource, c.casttarget)
        AND t.typnamespace <> 'pg_catalog'::regnamespace
    UNION
    -- Checks of domains.
    SELECT 0, c.function, k.contypid
    FROM pg_constraint k JOIN code c ON c.class = 'pg_constraint'::regclass AND c.object = k.oid
    WHERE k.contypid <> 0
    UNION
    SELECT 0, o.oid, g.rngtypid FROM pg_range g JOIN outside o ON o.oid = g.rngsubdiff
    UNION
    -- What sorts, groups and compares.
    SELECT 0, o.oid, c.opcintype
    FROM pg_opclass c JOIN pg_amproc a ON a.amprocfamily = c.opcfamily
    JOIN outside o ON o.oid = a.amproc
    UNION
    SELECT 0, o.oid, c.opcintype
    FROM pg_opclass c JOIN pg_amop a ON a.amopfamily = c.opcfamily
    JOIN pg_operator p ON p.oid = a.amopopr JOIN outside o ON o.oid = p.oprcode
    UNION
    SELECT p.oid, o.oid, t.oid
    FROM pg_operator p JOIN outside o ON o.oid = p.oprcode
    JOIN pg_type t ON t.oid IN (p.oprleft, p.oprright)
        AND t.typnamespace <> 'pg_catalog'::regnamespace
    WHERE NOT EXISTS (SELECT 1 FROM by_literal b WHERE b.operator = p.oid)
    UNION
    -- Types made of those types: arrays, domains, row types, ranges.
    SELECT r.operator, r.function, made.type
    FROM runs r CROSS JOIN LATERAL (
        SELECT t.oid FROM pg_type t WHERE t.typelem = r.type OR t.typbasetype = r.type
        UNION
        SELECT c.reltype FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE a.atttypid = r.type AND a.attnum > 0 AND NOT a.attisdropped AND c.reltype <> 0
        UNION
        SELECT unnest(ARRAY[g.rngtypid, g.rngmultitypid]) FROM pg_range g
        WHERE r.type IN (g.rngsubtype, g.rngtypid)
        UNION
        -- A domain whose check casts to the type.
        SELECT k.contypid FROM pg_constraint k JOIN pg_depend d
            ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid
        WHERE k.contypid <> 0 AND d.refclassid = 'pg_type'::regclass AND d.refobjid = r.type
    ) AS made (type)
)
SELECT json_build_object(
    'format', 1,
    'server_version_num', current_setting('server_version_num')::int,
    'database', current_database(),
    'role', current_user,
    'search_path', to_json(current_schemas(false)),
    'schemas', (SELECT coalesce(json_agg(nspname ORDER BY nspname), '[]') FROM pg_namespace
                WHERE nspname !~ '^pg_(toast|temp)'),
    'relations', (
        SELECT coalesce(json_agg(json_strip_nulls(json_build_object(
            'schema', s.schema, 'name', s.name, 'kind', s.kind,
            'columns', (
                SELECT coalesce(json_agg(json_build_object(
                    'name', a.attname,
                    'type', format_type(a.atttypid, a.atttypmod),
                    'typname', CASE WHEN t.oid IN (SELECT type FROM runs) THEN t.typname END,
                    'generated_by_code', CASE WHEN a.attgenerated <> '' AND EXISTS (
                        SELECT 1 FROM pg_attrdef def
                        JOIN code c ON c.class = 'pg_attrdef'::regclass AND c.object = def.oid
                        WHERE def.adrelid = a.attrelid AND def.adnum = a.attnum) THEN true END,
                    'generated_from', CASE WHEN a.attgenerated <> '' THEN (
                        SELECT coalesce(json_agg(DISTINCT source.attname), '[]')
                        FROM pg_depend d
                        JOIN pg_attribute source
                          ON source.attrelid = a.attrelid AND source.attnum = d.refobjsubid
                        LEFT JOIN pg_attrdef def
                          ON def.adrelid = a.attrelid AND def.adnum = a.attnum
                        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid
                          AND d.refobjsubid > 0 AND d.refobjsubid <> a.attnum
                          AND ((d.classid = 'pg_attrdef'::regclass AND d.objid = def.oid)
                            OR (d.classid = 'pg_class'::regclass AND d.objid = a.attrelid
                                AND d.objsubid = a.attnum))) END
                    ) ORDER BY a.attnum), '[]')
                FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
                WHERE a.attrelid = s.oid AND a.attnum > 0 AND NOT a.attisdropped),
            'parents', (
                SELECT json_agg(json_build_object('schema', pn.nspname, 'name', p.relname)
                                ORDER BY i.inhseqno)
                FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
                JOIN pg_namespace pn ON pn.oid = p.relnamespace
                WHERE i.inhrelid = s.oid),
            'definition', CASE WHEN s.kind IN ('v', 'm')
                AND s.schema NOT IN ('pg_catalog', 'information_schema')
                THEN pg_get_viewdef(s.oid) END,
            'depends_on', CASE WHEN s.kind IN ('v', 'm')
                AND s.schema NOT IN ('pg_catalog', 'information_schema') THEN (
                SELECT json_agg(DISTINCT jsonb_build_object(
                    'schema', dn.nspname, 'name', dc.relname, 'column', da.attname))
                FROM pg_rewrite r
                JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                    AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> s.oid
                JOIN pg_class dc ON dc.oid = d.refobjid
                JOIN pg_namespace dn ON dn.oid = dc.relnamespace
                LEFT JOIN pg_attribute da
                    ON da.attrelid = d.refobjid AND da.attnum = d.refobjsubid AND d.refobjsubid <> 0
                WHERE r.ev_class = s.oid) END,
            'has_rules', CASE WHEN EXISTS (
                SELECT 1 FROM pg_rewrite r WHERE r.ev_class = s.oid AND r.rulename <> '_RETURN')
                AND s.schema NOT IN ('pg_catalog', 'information_schema')
                THEN true END
            )) ORDER BY s.schema, s.name), '[]')
        FROM shown s),
    'functions', (
        SELECT coalesce(json_agg(json_strip_nulls(json_build_object(
            'schema', n.nspname, 'name', p.proname,
            'arguments', pg_get_function_identity_arguments(p.oid),
            'kind', p.prokind, 'language', l.lanname, 'volatility', p.provolatile,
            'security_definer', p.prosecdef,
            'types', (SELECT json_agg(DISTINCT t.typname ORDER BY t.typname)
                      FROM unnest(coalesce(p.proallargtypes, p.proargtypes) || p.prorettype) AS a (type)
                      JOIN runs r ON r.type = a.type JOIN pg_type t ON t.oid = a.type))) ORDER BY n.nspname, p.proname, p.oid), '[]')
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        JOIN pg_language l ON l.oid = p.prolang
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_temp'),
    'operators', (
        SELECT coalesce(json_agg(json_build_object(
            'schema', n.nspname, 'name', m.name,
            'types', (SELECT coalesce(json_agg(t.typname ORDER BY t.typname), '[]')
                      FROM runs r JOIN pg_type t ON t.oid = r.type WHERE r.operator = o.oid),
            'function', json_build_object('schema', p.schema, 'name', p.name))
            ORDER BY n.nspname, m.name, o.oid), '[]')
        FROM named m JOIN pg_operator o ON o.oid = m.operator
        JOIN pg_namespace n ON n.oid = o.oprnamespace
        JOIN outside AS p ON p.oid = o.oprcode
        WHERE n.nspname <> 'pg_catalog'),
    'implicit_calls', (
        SELECT coalesce(json_agg(json_build_object(
            'function', json_build_object('schema', o.schema, 'name', o.name),
            'types', (SELECT CASE WHEN bool_or(t.typnamespace IS NULL
                                          OR t.typnamespace = 'pg_catalog'::regnamespace)
                          THEN '[]' ELSE json_agg(t.typname ORDER BY t.typname) END
                      FROM runs r LEFT JOIN pg_type t ON t.oid = r.type
                      WHERE r.operator = 0 AND r.function = o.oid),
            'oids', (SELECT coalesce(json_agg(r.type::bigint ORDER BY r.type), '[]')
                     FROM runs r
                     WHERE r.operator = 0 AND r.function = o.oid AND r.type IS NOT NULL))
            ORDER BY o.schema, o.name, o.oid), '[]')
        FROM outside o WHERE o.oid IN (SELECT function FROM runs WHERE operator = 0)),
    'builtin_functions', (
        SELECT json_agg(proname ORDER BY proname)
        FROM (SELECT DISTINCT proname FROM pg_proc
              WHERE pronamespace = 'pg_catalog'::regnamespace) AS f)
)::text AS snapshot
