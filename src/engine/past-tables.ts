/**
 * The states that the past engine holds, each as a table of finished rows in the order of finish. State: the tables,
 * who reads them, and the builds under way.
 *
 * A state is found again by everything that decides its rows. Requests for the same state share one build, which ends
 * early only when nobody waits for it any more. Tables that nobody reads go, the longest unused first, once all of
 * them together hold more than their share of the memory.
 */

import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import { splitRange } from '../lake/relation.ts'
import { RefoldError } from '../model/errors.ts'
import { quoteIdentifier } from '../model/schema.ts'
import { BATCH_PART } from '../plan/batch-columns.ts'
import { plannedStream } from '../plan/planned-stream.ts'
import { must } from '../std/assert.ts'
import { systemClock } from '../std/clock.ts'
import { sumFile } from '../std/file-sum.ts'
import { realFiles } from '../std/files.ts'
import { Semaphore } from '../std/semaphore.ts'
import { batchSliceRows } from './batch-layer.ts'
import { batchQuery } from './batch-sql.ts'
import type { ConnectionPool } from './connection-pool.ts'
import { queryRows, run, runCancellable } from './duckdb.ts'
import type { SliceInfo } from './engine.ts'
import { foldPastState } from './fold/past-fold.ts'
import { hotFilesOf } from './hot-files.ts'
import { hotWatermarks } from './hot-watermarks.ts'
import { soleStage } from './merged-relation.ts'
import type { PastRequest, PastState } from './past.ts'
import type { PastSettings } from './past-protocol.ts'
import { lateTaken, rangeRead, stateQuery } from './past-state-sql.ts'

/** Builds at a time: each may use all threads and much of the memory. */
const BUILDS = 2
const TABLES_MAX = 64

interface Held {
  readonly key: string
  readonly table: string
  readonly ordered: boolean
  readonly stop: AbortController
  readonly built: Promise<void>
  /** Requests that wait for it or read it. */
  users: number
  done: boolean
}

export interface Deadline {
  readonly atMs: number
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

export class PastTables {
  readonly #connections: ConnectionPool
  readonly #scratchDir: string
  readonly #bytesMax: number
  readonly #logic: Pick<PastSettings, 'threads' | 'code'>
  readonly #builds = new Semaphore(BUILDS)
  /** In the order of last use, the longest unused first. */
  readonly #held = new Map<string, Held>()
  readonly #checked = new Set<string>()
  #next = 1

  constructor(connections: ConnectionPool, { scratchDir, threads, code }: PastSettings, bytesMax: number) {
    this.#connections = connections
    this.#scratchDir = scratchDir
    this.#logic = { threads, ...(code === undefined ? {} : { code }) }
    this.#bytesMax = bytesMax
  }

  /** Runs `body`, which asks for states and gets a SELECT of the finished rows of each; tables stay while it runs. */
  async holding<T>(
    request: PastRequest,
    deadline: Deadline,
    body: (rows: (state: PastState) => Promise<string>) => Promise<T>,
  ): Promise<T> {
    const taken: Held[] = []
    try {
      return await body(async (state) => {
        const held = this.#take(state, request)
        taken.push(held)
        await withinTime(held.built, deadline)
        return rowsOf(held)
      })
    } finally {
      for (const held of taken) this.#release(held)
      await this.#trim()
    }
  }

  #take(state: PastState, request: PastRequest): Held {
    const key = keyOf(state)
    const known = this.#held.get(key)
    if (known !== undefined) {
      known.users++
      this.#held.delete(key)
      this.#held.set(key, known)
      return known
    }
    const table = `past_${this.#next++}`
    const stop = new AbortController()
    const built = this.#builds.run(() => this.#build(state, table, request, stop.signal), stop.signal)
    const ordered = state.plan.finish.ordered
    const held: Held = { key, table, ordered, stop, built, users: 1, done: false }
    this.#held.set(key, held)
    built.then(
      () => {
        held.done = true
      },
      // Whoever waits is told; the next request for it tries again.
      () => {
        if (this.#held.get(key) === held) this.#held.delete(key)
      },
    )
    return held
  }

  #release(held: Held): void {
    held.users--
    if (held.users > 0 || held.done) return
    held.stop.abort()
    if (this.#held.get(held.key) === held) this.#held.delete(held.key)
  }

  async #build(state: PastState, table: string, request: PastRequest, signal: AbortSignal): Promise<void> {
    for (const slice of state.slices) await this.#check(slice)
    const { lake, log } = request.sources
    const { stream: name } = soleStage(state.plan).source
    const running = must(
      state.stream ?? request.streams.find((candidate) => candidate.name === name),
      `stream "${name}" is among the request's`,
    )
    const stream = plannedStream(state.plan, running)
    const copies = await mkdtemp(join(this.#scratchDir, 'state-'))
    try {
      const { hot } = splitRange(rangeRead(state), lake)
      const files = await hotFilesOf(log, hot, copies)
      const hotFiles = files.map(({ path }) => path)
      const asked = lateTaken(state) === undefined && state.alsoLate === undefined ? [] : [name]
      const marks = await hotWatermarks(log, hot, asked, () => join(copies, 'watermarks.csv'))
      const batchRows = await batchRowsOf(state, request, copies)
      const layer = batchRows === undefined ? {} : { batchRows }
      const from = { lake, hotFiles, watermark: marks.sql(name), ...layer }
      await this.#connections.use(async (connection) => {
        const place = { connection, tempDir: copies, signal, ...this.#logic }
        const folded = await foldPastState(
          state,
          stream,
          { ...from, log: request.sources, hot: files },
          place,
        )
        const sql = stateQuery(state, stream, folded === undefined ? from : { ...from, folded })
        await runCancellable(connection, `CREATE TABLE ${table} AS ${sql}`, { signal })
      })
    } catch (error) {
      // A slice that was deleted on the way is as one that is damaged: the state is made without it.
      for (const { path } of state.slices) {
        if ((await realFiles.size(path)) === undefined) throw corrupt(path)
      }
      throw error
    } finally {
      await rm(copies, { recursive: true, force: true })
    }
  }

  /** A slice's bytes are checked once; a file is never written again under the same name. */
  async #check(slice: SliceInfo): Promise<void> {
    if (this.#checked.has(slice.path)) return
    const sum = await sumFile(slice.path).catch(() => undefined)
    if (sum?.bytes !== slice.bytes || sum.checksum !== slice.checksum) {
      throw corrupt(slice.path)
    }
    this.#checked.add(slice.path)
  }

  async #trim(): Promise<void> {
    const idle = [...this.#held.values()].filter((held) => held.users === 0 && held.done)
    if (idle.length === 0) return
    await this.#connections.use(async (connection) => {
      let bytes = await tableBytes(connection)
      for (const held of idle) {
        if (bytes <= this.#bytesMax && this.#held.size <= TABLES_MAX) return
        // It may have been taken again while this waited.
        if (held.users > 0 || this.#held.get(held.key) !== held) continue
        this.#held.delete(held.key)
        await run(connection, `DROP TABLE IF EXISTS ${held.table}`)
        bytes = await tableBytes(connection)
      }
    })
  }
}

/** SELECT of the batch layer's rows: from its slice, else by its SQL once more. */
async function batchRowsOf(
  { plan, slices, definition, skipped }: PastState,
  { streams, sources }: PastRequest,
  copyDir: string,
): Promise<string | undefined> {
  if (plan.batch === undefined || definition === undefined || definition.to <= definition.from)
    return undefined
  const slice = slices.find(({ part }) => part === BATCH_PART)
  if (slice !== undefined) return batchSliceRows(plan, slice)
  const { copies, from, to } = definition
  const { lake, log } = sources
  const { hot } = splitRange({ from, to }, lake)
  const hotFiles = (await hotFilesOf(log, hot, copyDir)).map(({ path }) => path)
  return batchQuery({ plan, streams, range: { from, to }, lake, hotFiles, copies, skipped })
}

function corrupt(path: string): RefoldError {
  return new RefoldError('SLICE_CORRUPT', `slice "${path}" does not match its checksum`, {
    details: { path },
  })
}

/** DuckDB scans a table in any order; its row ids are in the order in which it was written. */
function rowsOf(held: Held): string {
  return `SELECT * FROM ${quoteIdentifier(held.table)}${held.ordered ? ' ORDER BY rowid' : ''}`
}

/** Everything that decides a state's rows, and how they were made: one folded from the log alone is another. */
function keyOf(state: PastState): string {
  const { view, version, cut, border, lateOnly, batch, alsoLate, skipped, slices, stream } = state
  const paths = slices.map(({ path }) => path).sort()
  const late = [lateOnly, batch, alsoLate, state.onlyLate, state.definition].map((part) => part ?? null)
  return JSON.stringify([view, version, cut, border, late, skipped, paths, stream ?? null])
}

async function tableBytes(connection: DuckDBConnection): Promise<number> {
  const rows = await queryRows(
    connection,
    `SELECT memory_usage_bytes + temporary_storage_bytes AS bytes FROM duckdb_memory() WHERE tag = 'IN_MEMORY_TABLE'`,
  )
  return Number(rows[0]?.['bytes'] ?? 0)
}

/** The promise's outcome, unless the time is up or the signal aborts before. */
async function withinTime(promise: Promise<void>, deadline: Deadline): Promise<void> {
  const { signal, timeoutMs } = deadline
  let stop = () => {}
  const end = new Promise<never>((_, reject) => {
    const abort = () => reject(new RefoldError('QUERY_CANCELLED', 'The query was cancelled.'))
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    const late = () =>
      reject(new RefoldError('QUERY_TIMEOUT', `The query did not end within ${timeoutMs} ms.`))
    const cancelTimer = systemClock.after(leftMs(deadline), late)
    stop = () => {
      cancelTimer()
      signal.removeEventListener('abort', abort)
    }
  })
  try {
    await Promise.race([promise, end])
  } finally {
    stop()
    end.catch(() => {})
  }
}

export function deadlineOf(timeoutMs: number, signal: AbortSignal): Deadline {
  return { atMs: systemClock.monotonicMs() + timeoutMs, timeoutMs, signal }
}

export function leftMs(deadline: Deadline): number {
  return Math.max(1, Math.ceil(deadline.atMs - systemClock.monotonicMs()))
}
