/**
 * Folds a range of the log by functions in TypeScript, in bulk: the range is read piece after piece, each piece's events
 * go to one of several threads by the hash of their key, and while threads step through one piece the next is read.
 * State: a temporary table with the partial rows that threads have let go of; what is left of a fold is that table.
 *
 * A thread writes its partial rows at the end, and in between when it holds so many states that it has to let go of
 * some. One that dies begins again after its last commit, by itself.
 */

import { join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { CommitRange, CommitSeq } from '../../model/cut.ts'
import { RefoldError } from '../../model/errors.ts'
import { quoteIdentifier, type StreamDef } from '../../model/schema.ts'
import type { GroupStage } from '../../plan/plan.ts'
import { emptyPartQuery, mergeQuery } from '../../plan/queries.ts'
import { must } from '../../std/assert.ts'
import { Serial } from '../../std/serial.ts'
import { queryValue, run } from '../duckdb.ts'
import { CodeFolder, FoldAgain, type Key } from './code-folder.ts'
import { cuttingOf, type EventBatch, readBatches } from './event-batch.ts'
import { fieldsOf } from './event-rows.ts'
import type { FoldFailure } from './fold-protocol.ts'
import type { FoldThreadStart } from './fold-thread-runner.ts'
import { keyHashesSql, partialRowsSql, statesSql } from './partial-rows.ts'

export interface BulkFold {
  readonly connection: DuckDBConnection
  readonly tempDir: string
  readonly threads: number
  readonly start: FoldThreadStart
  readonly stage: GroupStage
  readonly stream: StreamDef
  /** Neighbouring ranges, in order. */
  readonly pieces: readonly CommitRange[]
  /** SELECT of the events of a range, with positions. */
  readonly events: (range: CommitRange) => string
  /** SELECT of partial rows up to the first piece; undefined: there are none. */
  readonly before: string | undefined
  /** Name of the table to make, quoted. */
  readonly table: string
  readonly onPiece?: (done: number) => void
  readonly signal?: AbortSignal
}

/** Read at once: enough that starting a statement costs nothing, little enough to be held twice. */
export const PIECE_EVENTS = 200_000
/** States given to threads ahead, when there are no more of them. */
const GIVEN_MAX = 2_000_000
/** Folding goes on with no more failures than this: a fold that fails on everything is not worth its rows. */
const FAILURES_MAX = 10_000

/** Makes the table of partial rows, several for a key where threads let go of it; gives the events left out. */
export async function bulkFold(fold: BulkFold): Promise<readonly FoldFailure[]> {
  const { connection, stage, table, pieces } = fold
  await run(connection, `CREATE OR REPLACE TEMP TABLE ${table} AS ${emptyPartQuery(stage, 'main')}`)
  const given = await startingStates(fold)
  const line = new Serial()
  const lanes = Array.from({ length: fold.threads }, (_, number) => new Lane(fold, number, line, given))
  try {
    let stepping: Promise<unknown> = Promise.resolve()
    for (let at = 0; at < pieces.length; at++) {
      fold.signal?.throwIfAborted()
      const batches = await line.run(() => readPiece(fold, must(pieces[at], 'a piece')))
      await stepping
      fold.onPiece?.(at)
      stepping = Promise.all(lanes.map((lane) => lane.step(at, batches.get(lane.number))))
      // Whoever waits for it next is told.
      stepping.catch(() => {})
    }
    await stepping
    for (const lane of lanes) await lane.end()
    return lanes.flatMap((lane) => lane.failures).sort((a, b) => a.commit - b.commit || a.index - b.index)
  } finally {
    await Promise.all(lanes.map((lane) => lane.stop()))
  }
}

/** Whether the threads are told of all states there are, and the text of these by thread. */
type Given = readonly (string | undefined)[] | undefined

async function startingStates({ connection, stage, before, threads }: BulkFold): Promise<Given> {
  if (must(stage.code, 'the stage has code').merges || before === undefined) return []
  const merged = mergeQuery(stage, 'main', before)
  if (Number(await queryValue(connection, `SELECT count(*) FROM (${before})`)) > GIVEN_MAX) return undefined
  const lane = laneSql(
    stage.keys.map((key) => key.name),
    threads,
  )
  const texts = []
  for (let number = 0; number < threads; number++) {
    const own = `SELECT * FROM (${merged}) WHERE ${lane} = ${number}`
    const text = await queryValue(connection, statesSql(stage, own))
    texts.push(text === null ? undefined : String(text))
  }
  return texts
}

function laneSql(columns: readonly string[], threads: number): string {
  return `hash(${columns.map(quoteIdentifier).join(', ')}) % ${threads}`
}

/** A piece's events, by thread. */
async function readPiece(
  { connection, stage, stream, events, threads }: BulkFold,
  range: CommitRange,
  only?: { readonly lane?: number; readonly keys?: readonly Key[] },
): Promise<ReadonlyMap<number, readonly EventBatch[]>> {
  const keys = must(stage.code, 'the stage has code').keys
  const lane = laneSql(keys, threads)
  const conditions = [
    ...(only?.lane === undefined ? [] : [`${lane} = ${only.lane}`]),
    ...(only?.keys === undefined
      ? []
      : [`hash(${keys.map(quoteIdentifier).join(', ')}) IN (${keyHashesSql(stage, only.keys)})`]),
  ]
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`
  const fields = fieldsOf(stream, stage.source.fields)
  const relation = `SELECT * FROM (${events(range)})${where}`
  // All events of some keys go together: nothing else is done with them in between.
  const cutting = cuttingOf(range, only?.keys === undefined ? PIECE_EVENTS / threads : 1)
  return await readBatches(connection, fields, relation, threads === 1 ? '0' : lane, cutting)
}

/** One thread with the keys that are its own. */
class Lane {
  readonly number: number
  readonly failures: FoldFailure[] = []
  readonly #fold: BulkFold
  readonly #folder: CodeFolder
  /** Statements of all lanes go over one connection, one at a time. */
  readonly #line: Serial
  readonly #given: Given
  /** The first piece after the last commit. */
  #from = 0
  #told = false
  #flushes = 0
  #stepped = 0

  constructor(fold: BulkFold, number: number, line: Serial, given: Given) {
    this.#fold = fold
    this.number = number
    this.#line = line
    this.#given = given
    this.#folder = new CodeFolder(fold.start)
  }

  async step(piece: number, events: readonly EventBatch[] | undefined): Promise<void> {
    if (events === undefined) return
    this.#stepped++
    await this.#again(piece, async () => {
      const { full } = await this.#stepEvents(events)
      if (full) await this.#flush(piece)
    })
  }

  /** Writes what is left. */
  async end(): Promise<void> {
    const { length } = this.#fold.pieces
    if (this.#stepped === 0 || this.#from === length) return
    await this.#again(length, () => this.#flush(length - 1))
  }

  stop(): Promise<void> {
    return this.#folder.stop()
  }

  /** Does some work; when the thread dies over it, everything since the last commit is stepped again before. */
  async #again(before: number, work: () => Promise<void>): Promise<void> {
    let begun = false
    for (;;) {
      try {
        if (begun) await this.#stepAgain(before)
        await this.#tell()
        await work()
        return
      } catch (error) {
        if (!(error instanceof FoldAgain)) throw error
        begun = true
        this.#told = false
      }
    }
  }

  /** The pieces since the last commit, up to one without it. */
  async #stepAgain(before: number): Promise<void> {
    await this.#tell()
    for (let at = this.#from; at < before; at++) {
      const range = must(this.#fold.pieces[at], 'a piece')
      const batches = await this.#line.run(() => readPiece(this.#fold, range, { lane: this.number }))
      const events = batches.get(this.number)
      if (events === undefined) continue
      const { full } = await this.#stepEvents(events)
      if (full) await this.#flush(at)
    }
  }

  async #stepEvents(batches: readonly EventBatch[]): Promise<{ readonly full: boolean }> {
    let isFull = false
    for (const batch of batches) {
      const { full } = await this.#folder.step(batch, (keys) => this.#line.run(() => this.#lookup(keys)))
      isFull ||= full
    }
    return { full: isFull }
  }

  /** States of what was let go of, or came before this fold. */
  async #lookup(keys: readonly Key[]): Promise<string> {
    const { connection, stage, before, table } = this.#fold
    const hash = `hash(${stage.keys.map((key) => quoteIdentifier(key.name)).join(', ')})`
    const known = [`SELECT * FROM ${table}`, ...(before === undefined ? [] : [before])]
    const wanted = known.map(
      (sql) => `SELECT * FROM (${sql}) WHERE ${hash} IN (${keyHashesSql(stage, keys)})`,
    )
    const text = await queryValue(
      connection,
      statesSql(stage, mergeQuery(stage, 'main', wanted.join(' UNION ALL '))),
    )
    return String(text ?? '')
  }

  async #tell(): Promise<void> {
    if (this.#told) return
    if (this.#given !== undefined && this.#flushes === 0) {
      await this.#folder.giveAll(this.#given[this.number] ?? '')
    }
    this.#told = true
  }

  async #flush(piece: number): Promise<void> {
    const { connection, stage, table, pieces, tempDir } = this.#fold
    const file = join(tempDir, `fold-${this.number}-${this.#flushes}.ndjson`)
    const range = {
      from: must(pieces[this.#from], 'a piece').from,
      to: must(pieces[piece], 'a piece').to,
    }
    const count = await this.#folder.flush(file, (keys) => this.#eventsOf(range, keys))
    if (count > 0) {
      await this.#line.run(() =>
        run(connection, `INSERT INTO ${table} SELECT * FROM (${partialRowsSql(stage, [file])})`),
      )
    }
    this.failures.push(...this.#folder.failures(range.from, range.to))
    if (this.failures.length > FAILURES_MAX) throw tooMany(this.#fold.start.view, this.failures[0])
    await this.#folder.commit()
    this.#flushes++
    this.#from = piece + 1
  }

  /** All events of keys on which a function failed, since the last commit. */
  async #eventsOf(range: CommitRange, keys: readonly Key[]): Promise<EventBatch | undefined> {
    const only = { lane: this.number, keys }
    return (await this.#line.run(() => readPiece(this.#fold, range, only))).get(this.number)?.[0]
  }
}

function tooMany(view: string, first: FoldFailure | undefined): RefoldError {
  const message = `the fold of view "${view}" fails on more than ${FAILURES_MAX} events, first: ${first?.message}`
  return new RefoldError('LOGIC_FAILED', message)
}

export interface Stretch extends CommitRange {
  readonly events: number
}

/** Divides a range into pieces of about so many events, by what is known of how events lie in it. */
export function piecesOf(
  range: CommitRange,
  stretches: readonly Stretch[],
  eventsMax: number,
): readonly CommitRange[] {
  const cuts: CommitSeq[] = []
  let held = 0
  for (const { from, to, events } of [...stretches].sort((a, b) => a.from - b.from)) {
    const parts = Math.max(1, Math.min(Math.ceil(events / eventsMax), to - from))
    for (let part = 1; part <= parts; part++) {
      held += events / parts
      if (held < eventsMax) continue
      cuts.push(Math.round(from + ((to - from) * part) / parts))
      held = 0
    }
  }
  const inner = [...new Set(cuts)].filter((cut) => cut > range.from && cut < range.to)
  const borders = [range.from, ...inner.sort((a, b) => a - b), range.to]
  return borders.slice(1).map((to, at) => ({ from: borders[at] ?? range.from, to }))
}
