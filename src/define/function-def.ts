/**
 * A function in TypeScript once its project is loaded: plain data, its code by hash. Beside it what plans and engines
 * need of it, under a name that has the hash in it, so that functions of different code never meet. Pure.
 */

import { createHash } from 'node:crypto'
import type { Field } from '../model/schema.ts'
import type { CodeDef } from './code.ts'
import type { SourcePlace } from './types.ts'

export interface FunctionDef {
  readonly name: string
  /** Where its declaration stands. */
  readonly place: SourcePlace
  readonly args: readonly FunctionType[]
  readonly returns: FunctionType
  readonly nulls: 'skip' | 'pass'
  readonly code: CodeDef
}

export interface FunctionType {
  /** As DuckDB names it; of a list the type of its elements. */
  readonly sql: string
  readonly form: ValueForm
  readonly list?: true
}

/**
 * What a value is in TypeScript. `int`: a number where that is exact, else a string. `text`: decimals in their shortest
 * form, times in ISO 8601.
 */
export type ValueForm = 'boolean' | 'number' | 'bigint' | 'int' | 'text' | 'json'

/** What a plan keeps of a function that its SQL calls. */
/** The fold whose `merge` a function is; it takes states and a key as JSON text. */
export interface MergedFold {
  /** Fields of the stream that are the key. */
  readonly keys: readonly Field[]
  readonly row: readonly Field[]
  readonly several: boolean
}

export interface PlannedFunction {
  /** Left out: it is what `fn` made. */
  readonly merges?: MergedFold
  /** As the user's SQL calls it. */
  readonly name: string
  /** As the plan's SQL calls it: the name and a part of the hash of everything that decides its results. */
  readonly sqlName: string
  /** The hash under which its code is kept. */
  readonly code: string
  readonly args: readonly FunctionType[]
  readonly returns: FunctionType
  readonly nulls: 'skip' | 'pass'
}

/** Of everything that decides what a function gives. */
export function functionHash({ name, args, returns, nulls, code }: FunctionDef): string {
  const text = JSON.stringify([name.toLowerCase(), args.map(typeParts), typeParts(returns), nulls, code.hash])
  return createHash('sha256').update(text).digest('hex')
}

const HASH_SHOWN = 12

export function plannedFunction(def: FunctionDef): PlannedFunction {
  const { name, args, returns, nulls, code } = def
  const sqlName = `${name.toLowerCase()}$${functionHash(def).slice(0, HASH_SHOWN)}`
  return { name, sqlName, code: code.hash, args, returns, nulls }
}

/** `score(DOUBLE, DOUBLE) → DOUBLE` */
export function signatureOf({ name, args, returns }: Pick<FunctionDef, 'name' | 'args' | 'returns'>): string {
  return `${name}(${args.map(typeText).join(', ')}) → ${typeText(returns)}`
}

export function typeText({ sql, list }: FunctionType): string {
  return list === true ? `${sql}[]` : sql
}

function typeParts({ sql, form, list }: FunctionType): readonly unknown[] {
  return [sql, form, list === true]
}

/** A text of DuckDB's with functions named as the user's SQL names them. */
export function plainNames(text: string, functions: readonly PlannedFunction[]): string {
  return functions.reduce((named, { name, sqlName }) => named.replaceAll(sqlName, name), text)
}
