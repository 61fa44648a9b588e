/**
 * The engine's in-memory tables: creates them under fresh names and drops those that nothing reads any more. Dropping
 * a table frees its memory, which deleting rows does not. State: the names, and the read sets that reads hold.
 *
 * Tables are dropped only by `sweep`, which the engine calls between two ticks: a drop under an open tick would make
 * that tick fail.
 */

import { quoteIdentifier } from '../model/schema.ts'
import type { Column } from '../plan/plan.ts'
import { type ReadSet, tablesOf } from './read-set.ts'

/** Runs one statement. */
export type RunSql = (sql: string) => Promise<unknown>

/** Gives a fresh table name. */
export type TableName = (stem: string) => string

export class TableStore {
  readonly #run: RunSql
  readonly #tables = new Set<string>()
  readonly #inTheMaking = new Set<string>()
  readonly #pins = new Map<ReadSet, number>()
  #next = 1

  constructor(run: RunSql) {
    this.#run = run
  }

  /** Runs `make`, whose new tables stay until it has ended; by then a read set names what is to live on. */
  async making<T>(make: (name: TableName) => Promise<T>): Promise<T> {
    const names: string[] = []
    try {
      return await make((stem) => {
        const name = this.#name(stem)
        names.push(name)
        this.#inTheMaking.add(name)
        return name
      })
    } finally {
      for (const name of names) this.#inTheMaking.delete(name)
    }
  }

  /** Creates an empty table and returns its name. To be called between two ticks, like `sweep`. */
  async create(stem: string, columns: readonly Column[]): Promise<string> {
    const name = this.#name(stem)
    await this.#run(
      `CREATE TABLE ${name} (${columns.map((column) => `${quoteIdentifier(column.name)} ${column.type}`).join(', ')})`,
    )
    return name
  }

  /** Holds a read set's tables while `read` runs. */
  async pinned<T>(readSets: readonly ReadSet[], read: () => Promise<T>): Promise<T> {
    for (const readSet of readSets) this.#pins.set(readSet, (this.#pins.get(readSet) ?? 0) + 1)
    try {
      return await read()
    } finally {
      for (const readSet of readSets) {
        const pins = (this.#pins.get(readSet) ?? 1) - 1
        if (pins === 0) this.#pins.delete(readSet)
        else this.#pins.set(readSet, pins)
      }
    }
  }

  /** Read sets that reads hold right now. */
  held(): readonly ReadSet[] {
    return [...this.#pins.keys()]
  }

  /** Drops every table that neither `used` nor a held read set names. */
  async sweep(used: Iterable<string>): Promise<void> {
    const keep = new Set(used)
    for (const readSet of this.#pins.keys()) for (const table of tablesOf(readSet)) keep.add(table)
    for (const table of this.#tables) {
      if (keep.has(table) || this.#inTheMaking.has(table)) continue
      this.#tables.delete(table)
      await this.#run(`DROP TABLE IF EXISTS ${table}`)
    }
  }

  #name(stem: string): string {
    const name = `t${this.#next++}_${stem.replaceAll(/[^A-Za-z0-9_]/g, '_')}`
    this.#tables.add(name)
    return name
  }
}
