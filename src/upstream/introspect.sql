-- One row, one JSON column: the catalog snapshot (src/catalog/document.rs says its shape).
-- Run with the role's own search_path: what pg_get_viewdef leaves unqualified resolves by it.
WITH shown AS (
    SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
      AND n.nspname !~ '^pg_(toast|temp)'
)
SELECT json_build_object(
    'format', 1,
    'server_version_num', current_setting('server_version_num')::int,
    'database', current_database(),
    'role', current_user,
    'search_path', (
        SELECT coalesce(json_agg(btrim(entry, ' "') ORDER BY place), '[]')
        FROM regexp_split_to_table(current_setting('search_path'), ',')
             WITH ORDINALITY AS part(entry, place)
        WHERE btrim(entry, ' "') <> ''),
    'schemas', (SELECT coalesce(json_agg(nspname ORDER BY nspname), '[]') FROM pg_namespace
                WHERE nspname !~ '^pg_(toast|temp)'),
    'relations', (
        SELECT coalesce(json_agg(json_strip_nulls(json_build_object(
            'schema', s.schema, 'name', s.name, 'kind', s.kind,
            'columns', (
                SELECT coalesce(json_agg(json_build_object(
                    'name', a.attname,
                    'type', format_type(a.atttypid, a.atttypmod),
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
                FROM pg_attribute a
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
        SELECT coalesce(json_agg(json_build_object(
            'schema', n.nspname, 'name', p.proname,
            'arguments', pg_get_function_identity_arguments(p.oid),
            'kind', p.prokind, 'language', l.lanname, 'volatility', p.provolatile,
            'security_definer', p.prosecdef) ORDER BY n.nspname, p.proname, p.oid), '[]')
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        JOIN pg_language l ON l.oid = p.prolang
        WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_temp'),
    'operators', (
        SELECT coalesce(json_agg(json_build_object(
            'schema', n.nspname, 'name', o.oprname,
            'function', json_build_object('schema', pn.nspname, 'name', p.proname))
            ORDER BY n.nspname, o.oprname, o.oid), '[]')
        FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace
        JOIN pg_proc p ON p.oid = o.oprcode JOIN pg_namespace pn ON pn.oid = p.pronamespace
        WHERE n.nspname <> 'pg_catalog'),
    'casts', (
        SELECT coalesce(json_agg(json_build_object(
            'source', source.typname, 'target', target.typname,
            'function', json_build_object('schema', pn.nspname, 'name', p.proname))
            ORDER BY c.oid), '[]')
        FROM pg_cast c JOIN pg_type source ON source.oid = c.castsource
        JOIN pg_type target ON target.oid = c.casttarget
        JOIN pg_proc p ON p.oid = c.castfunc JOIN pg_namespace pn ON pn.oid = p.pronamespace
        WHERE pn.nspname <> 'pg_catalog'),
    'builtin_functions', (
        SELECT json_agg(proname ORDER BY proname)
        FROM (SELECT DISTINCT proname FROM pg_proc
              WHERE pronamespace = 'pg_catalog'::regnamespace) AS f)
)::text AS snapshot
