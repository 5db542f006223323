/** One insert: `body` is TabSeparated, one line per row, in the order of `columns`. */
export interface Insert {
  readonly table: string;
  readonly columns: readonly string[];
  readonly body: Buffer;
  /** The same token with the same rows again changes nothing. */
  readonly token: string;
}
/** The values of `{name:Type}` placeholders; they never become part of the SQL text. */
export type Params = Readonly<
  Record<string, string | number | boolean | readonly string[] | readonly number[]>
>;
/** The column store. Throws DEPENDENCY_UNAVAILABLE when it does not answer, STORAGE_FULL. */
export interface ClickHouse {
  command(sql: string): Promise<void>;
  insert(insert: Insert): Promise<void>;
  /**
   * Rows as objects. `sql` has no SETTINGS of its own. UInt64 beyond 2^53 must be read as text;
   * NaN and infinities come as 'nan', 'inf', '-inf'.
   */
  query<Row>(sql: string, params?: Params): Promise<Row[]>;
  close(): Promise<void>;
}
