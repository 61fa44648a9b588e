/**
 * The seam between the planner and the SQL engine: parsing to DuckDB's own syntax tree, printing it back, and
 * asking for types. `engine/` implements it; the planner stays free of processes. Implementations may be slow
 * (a few milliseconds a call); callers must not assume an order of concurrent calls.
 */

import type { PlannedFunction } from '../define/function-def.ts'
import type { Column } from './plan.ts'

/** A node of DuckDB's syntax tree as `json_serialize_sql` prints it. */
export type SqlNode = { [key: string]: unknown }

export type ParseResult =
  | { readonly ok: true; readonly statements: readonly SqlNode[] }
  /** `position` is a character index into the SQL text, where DuckDB gave one. */
  | { readonly ok: false; readonly message: string; readonly position?: number }

export interface SqlFunction {
  readonly name: string
  readonly kind: 'scalar' | 'aggregate' | 'table' | 'macro' | 'table_macro' | 'pragma'
  readonly stability: 'CONSISTENT' | 'CONSISTENT_WITHIN_QUERY' | 'VOLATILE' | null
}

export interface SqlSyntax {
  parse(sql: string): Promise<ParseResult>
  /** Prints one SELECT statement's tree as SQL. */
  print(statement: SqlNode): Promise<string>
  /** Column names and types of a SELECT; relations are given as empty tables. Throws DuckDB's message. */
  describe(sql: string, relations: Readonly<Record<string, readonly Column[]>>): Promise<readonly Column[]>
  /** The rows of a SELECT over constants, as text; NULL stays null. Throws DuckDB's message. */
  rows(sql: string): Promise<readonly (readonly (string | null)[])[]>
  /** Functions of a project that texts may call by their plain names; none without `withFunctions`. */
  readonly own: readonly PlannedFunction[]
  /** The same syntax with a project's functions: described texts may call them by either name. */
  withFunctions(functions: readonly PlannedFunction[]): SqlSyntax
  /** All functions that the engine knows, and the project's. */
  functions(): Promise<readonly SqlFunction[]>
}
