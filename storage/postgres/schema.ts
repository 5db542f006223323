import type { Sql } from './client';

// pg_get_* print what the server understood, so a name or a default cannot be told in two ways

const SELECT_COLUMNS = `
SELECT c.relname AS "table", a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
  a.attnotnull AS "isRequired", pg_get_expr(d.adbin, d.adrelid) AS "default",
  a.attidentity <> '' AS "isIdentity"
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname COLLATE "C", a.attnum`;

const SELECT_CONSTRAINTS = `
SELECT c.relname AS "table", k.conname AS name, pg_get_constraintdef(k.oid) AS definition
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE c.relnamespace = 'public'::regnamespace AND k.contype <> 'n' -- NOT NULL stands at the column
ORDER BY c.relname COLLATE "C", k.conname COLLATE "C"`;

const SELECT_INDEXES = `
SELECT c.relname AS "table", pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i
JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_class x ON x.oid = i.indexrelid
WHERE c.relnamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
ORDER BY c.relname COLLATE "C", x.relname COLLATE "C"`;

const SELECT_OTHERS = `
SELECT format('CREATE SEQUENCE %I AS %s START %s INCREMENT %s;', s.sequencename, s.data_type,
  s.start_value, s.increment_by) AS definition
FROM pg_sequences s JOIN pg_class c ON c.relname = s.sequencename
WHERE s.schemaname = 'public' AND c.relnamespace = 'public'::regnamespace
  AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i'))
UNION ALL
SELECT pg_get_viewdef(c.oid) FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('v', 'm')
UNION ALL
SELECT pg_get_functiondef(p.oid) FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
UNION ALL
SELECT pg_get_triggerdef(t.oid) || ';' FROM pg_trigger t WHERE NOT t.tgisinternal
ORDER BY definition`;

interface Column {
  readonly table: string;
  readonly name: string;
  readonly type: string;
  readonly isRequired: boolean;
  readonly default: string | null;
  readonly isIdentity: boolean;
}
interface Definition {
  readonly table: string;
  readonly name?: string;
  readonly definition: string;
}

/** The whole schema as text, for `schema.sql`: a change of it shows in review. */
export async function describeSchema(sql: Sql): Promise<string> {
  const columns = await sql.query<Column>(SELECT_COLUMNS);
  const constraints = await sql.query<Definition>(SELECT_CONSTRAINTS);
  const indexes = await sql.query<Definition>(SELECT_INDEXES);
  const others = await sql.query<{ definition: string }>(SELECT_OTHERS);
  const tables = [...new Set(columns.map((column) => column.table))].map((table) => {
    const isOfTable = (row: { readonly table: string }): boolean => row.table === table;
    const body = [
      ...columns.filter(isOfTable).map(describeColumn),
      ...constraints
        .filter(isOfTable)
        .map((row) => `CONSTRAINT ${row.name ?? ''} ${row.definition}`),
    ];
    const after = indexes.filter(isOfTable).map((row) => `${row.definition};\n`);
    return `CREATE TABLE ${table} (\n${body.map((line) => `  ${line}`).join(',\n')}\n);\n${after.join('')}`;
  });
  return [...tables, ...others.map((row) => `${row.definition}\n`)].join('\n');
}

function describeColumn(column: Column): string {
  const parts = [
    column.name,
    column.type,
    ...(column.isRequired ? ['NOT NULL'] : []),
    ...(column.default === null ? [] : ['DEFAULT', column.default]),
    ...(column.isIdentity ? ['GENERATED ALWAYS AS IDENTITY'] : []),
  ];
  return parts.join(' ');
}
