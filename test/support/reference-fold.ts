/**
 * The plainest way to execute a plan: its fold, merge and finish queries in a scratch DuckDB, over events divided in
 * any way, with partial rows kept in tables or sent through Parquet, merged in any grouping. What the engine does
 * cleverly must give what this gives. State: one scratch database with the stream's events, and a folder for files.
 */

import path from 'node:path'
import { quoteIdentifier, quoteLiteral, type StreamDef } from '../../src/model/schema.ts'
import type { StagePlan, ViewPlan } from '../../src/plan/plan.ts'
import {
  emptyPartQuery,
  finishQuery,
  foldQuery,
  foldTogether,
  mergedQuery,
  mergeQuery,
  partColumnDefinitions,
  partNames,
} from '../../src/plan/queries.ts'
import type { Answer, ScratchDuckDb } from './scratch-duckdb.ts'

const EVENTS = 'scratch_events'
const POSITION = 'scratch_position'

/** A half-open range of events by their position. */
export interface Range {
  readonly from: number
  readonly to: number
}

/** Chooses: true merges these neighbours first. Random in tests, so that every association is met. */
export type Coin = () => boolean

export class ReferenceFold {
  readonly #db: ScratchDuckDb
  readonly #folder: string
  #tables = 0
  #kept: string[] = []

  private constructor(db: ScratchDuckDb, folder: string) {
    this.#db = db
    this.#folder = folder
  }

  static async load(
    db: ScratchDuckDb,
    stream: StreamDef,
    ndjson: string,
    folder: string,
  ): Promise<ReferenceFold> {
    await db.load(stream, ndjson, EVENTS, POSITION)
    return new ReferenceFold(db, folder)
  }

  /** One fold over everything; parts that can be are folded together. */
  async bulk(plan: ViewPlan, count: number): Promise<Answer> {
    const all = [{ from: 0, to: count }]
    return this.divided(plan, all, { parquet: false, coin: () => true, together: true })
  }

  /** Folds each range by itself, merges neighbours as the coin says, finishes. */
  async divided(
    plan: ViewPlan,
    ranges: readonly Range[],
    options: { readonly parquet: boolean; readonly coin: Coin; readonly together?: boolean },
  ): Promise<Answer> {
    const stage = plan.stages[0]!
    const merged: Record<string, string> = {}
    for (const part of partNames(stage)) {
      const pieces: string[] = []
      for (const range of ranges) {
        const fold = options.together ? bulkFold : foldQuery
        pieces.push(
          await this.#keep(stage, part, fold(stage, part, eventsSql(stage, range)), options.parquet),
        )
      }
      while (pieces.length > 1) {
        const index = options.coin() ? 0 : pieces.length - 2
        const union = `${pieces[index]} UNION ALL ${pieces[index + 1]}`
        pieces.splice(
          index,
          2,
          await this.#keep(stage, part, mergeQuery(stage, part, union), options.parquet),
        )
      }
      merged[part] = mergeQuery(stage, part, pieces[0] ?? emptyPartQuery(stage, part))
    }
    const answer = await this.#db.query(finishQuery(plan, mergedQuery(stage, merged)))
    for (const table of this.#kept.splice(0)) await this.#db.run(`DROP TABLE ${table}`)
    return answer
  }

  /** Names and types of the finish, as DuckDB has them. */
  async columns(plan: ViewPlan): Promise<Answer['columns']> {
    const stage = plan.stages[0]!
    const parts = partNames(stage).map(
      (part) => [part, mergeQuery(stage, part, emptyPartQuery(stage, part))] as const,
    )
    return this.#db.describe(finishQuery(plan, mergedQuery(stage, Object.fromEntries(parts))))
  }

  /** Stores a part's rows and gives the SELECT that reads them back. The table's types hold the rows to the plan. */
  async #keep(stage: StagePlan, part: string, sql: string, parquet: boolean): Promise<string> {
    const name = `scratch_${this.#tables++}`
    await this.#db.run(`CREATE TABLE ${name} (${partColumnDefinitions(stage, part)})`)
    await this.#db.run(`INSERT INTO ${name} ${sql}`)
    if (!parquet) {
      this.#kept.push(name)
      return `SELECT * FROM ${name}`
    }
    const file = path.join(this.#folder, `${name}.parquet`)
    await this.#db.run(`COPY ${name} TO ${quoteLiteral(file)} (FORMAT parquet)`)
    await this.#db.run(`DROP TABLE ${name}`)
    return `SELECT * FROM read_parquet(${quoteLiteral(file)})`
  }
}

function bulkFold(stage: StagePlan, part: string, events: string): string {
  const together = foldTogether(stage)
  const isOne = part === 'main' || part === together?.distinct
  return together === undefined || !isOne
    ? foldQuery(stage, part, events)
    : together.partQuery(part, together.foldQuery(events))
}

function eventsSql(stage: StagePlan, range: Range): string {
  const fields = stage.source.fields.map(quoteIdentifier)
  if (stage.source.positions === true) {
    fields.push(
      `CAST(1 + ${POSITION} // 10 AS BIGINT) AS "$commit"`,
      `CAST(${POSITION} % 10 AS INTEGER) AS "$index"`,
    )
  }
  const list = fields.length === 0 ? '1 AS nothing' : fields.join(', ')
  return `SELECT ${list} FROM ${EVENTS} WHERE ${POSITION} >= ${range.from} AND ${POSITION} < ${range.to}`
}
