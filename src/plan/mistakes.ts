/**
 * Collects the mistakes in one view's SQL, so that all are told at once, each with its place in the file. State: the
 * list, for the time of one planning.
 */

import { type ErrorCode, type ErrorPlace, RefoldError } from '../model/errors.ts'
import type { SqlNode } from './sql-syntax.ts'
import { nearestLocation } from './syntax-tree.ts'

export interface Mistake {
  readonly code: ErrorCode
  readonly message: string
  readonly hint?: string
  /** Where: a node of the tree, or a character index in the SQL. */
  readonly at?: SqlNode | number
}

export class Mistakes {
  readonly #sql: string
  readonly #place: ErrorPlace
  readonly #errors: RefoldError[] = []

  constructor(sql: string, place: ErrorPlace) {
    this.#sql = sql
    this.#place = place
  }

  get found(): boolean {
    return this.#errors.length > 0
  }

  get count(): number {
    return this.#errors.length
  }

  /** Where a text first stands in the SQL, for nodes that DuckDB gives no place. */
  placeOf(text: string): number | undefined {
    const index = this.#sql.indexOf(text)
    return index < 0 ? undefined : index
  }

  /** In the order of the text; the same sentence at the same place once. */
  get errors(): readonly RefoldError[] {
    const seen = new Set<string>()
    const unique = this.#errors.filter((error) => {
      const key = JSON.stringify([error.message, error.place])
      return seen.has(key) ? false : Boolean(seen.add(key))
    })
    return unique.sort((a, b) => order(a) - order(b))
  }

  add(mistake: Mistake): void {
    const position = typeof mistake.at === 'number' ? mistake.at : nearestLocation(mistake.at)
    this.#errors.push(
      new RefoldError(mistake.code, mistake.message, {
        place: placeInFile(this.#sql, this.#place, position),
        ...(mistake.hint === undefined ? {} : { hint: mistake.hint }),
      }),
    )
  }
}

function order(error: RefoldError): number {
  return (error.place?.line ?? 0) * 1e6 + (error.place?.column ?? 0)
}

/** The place of a character of the SQL inside the file, where `start` is the place of its first character. */
export function placeInFile(sql: string, start: ErrorPlace, position: number | undefined): ErrorPlace {
  if (position === undefined) return start
  const before = sql.slice(0, position)
  const lineIndex = before.split('\n').length - 1
  const columnIndex = position - (before.lastIndexOf('\n') + 1)
  return {
    ...(start.file === undefined ? {} : { file: start.file }),
    line: (start.line ?? 1) + lineIndex,
    column: lineIndex === 0 ? (start.column ?? 1) + columnIndex : columnIndex + 1,
  }
}
