/**
 * Reads pieces of the lake for readers of the log, off the live engine's path: a small DuckDB in the server's own
 * process, opened when the first reader asks. Its work runs in libuv's threads, so requests and commits go on.
 * State: that database and its connection; pieces are read one after the other.
 */

import { type DuckDB, openDuckDB, queryValue } from '../engine/duckdb.ts'
import type { EventPosition, LogSources } from '../engine/engine.ts'
import { type EventTexts, lastCommitAt, readLakeEvents } from '../engine/read-events.ts'
import type { LakeManifest } from '../lake/types.ts'
import type { LogEvent } from '../log/types.ts'
import type { CommitRange, CommitSeq } from '../model/cut.ts'
import { quoteLiteral, type StreamDef } from '../model/schema.ts'
import { Serial } from '../std/serial.ts'

const MEMORY_BYTES = 256 << 20

export interface LakePiece {
  readonly events: readonly LogEvent[]
  /** Everything up to this cut was read. */
  readonly through: CommitSeq
}

export class LakeEvents {
  readonly #tempDir: string
  readonly #turn = new Serial()
  #opened: Promise<{ db: DuckDB; connection: Awaited<ReturnType<DuckDB['connect']>> }> | undefined

  constructor(tempDir: string) {
    this.#tempDir = tempDir
  }

  /** Whole commits of the range from its beginning on, at least one, about `limit` events. */
  read(
    sources: LogSources,
    stream: StreamDef,
    range: CommitRange,
    limit: number,
    texts?: EventTexts,
  ): Promise<LakePiece> {
    return this.#turn.run(async () => {
      const { connection } = await this.#open()
      const { files } = sources.lake
      const events = await readLakeEvents(connection, stream, files, { range }, limit, { texts })
      const last = events.at(-1)
      if (last === undefined || events.length < limit) return { events, through: range.to }
      // The limit may have cut the last commit: its other events are read as well.
      const rest = { range: { from: last.commit - 1, to: last.commit }, after: last }
      events.push(
        ...(await readLakeEvents(connection, stream, files, rest, Number.MAX_SAFE_INTEGER, { texts })),
      )
      return { events, through: last.commit }
    })
  }

  /** The events at these positions, which come in order. */
  at(
    sources: LogSources,
    stream: StreamDef,
    positions: readonly EventPosition[],
    texts?: EventTexts,
  ): Promise<readonly LogEvent[]> {
    return this.#turn.run(async () => {
      const events: LogEvent[] = []
      if (positions.length === 0) return events
      const { connection } = await this.#open()
      for (const { commit, index } of positions) {
        const range = { from: commit - 1, to: commit }
        const files = sources.lake.files.filter((file) => file.from < commit && commit <= file.to)
        const after = { commit, index: index - 1 }
        events.push(...(await readLakeEvents(connection, stream, files, { range, after }, 1, { texts })))
      }
      return events
    })
  }

  /** Rows of a Parquet file, by its footer. */
  countRows(path: string): Promise<number> {
    return this.#turn.run(async () => {
      const { connection } = await this.#open()
      const sql = `SELECT num_rows::DOUBLE FROM parquet_file_metadata(${quoteLiteral(path)})`
      return Number(await queryValue(connection, sql))
    })
  }

  /** The last commit in the lake that was taken in at or before a time; undefined when none was. */
  lastCommit(lake: LakeManifest, timeMs: number): Promise<CommitSeq | undefined> {
    return this.#turn.run(async () => lastCommitAt((await this.#open()).connection, lake.files, timeMs))
  }

  async close(): Promise<void> {
    await this.#turn.run(async () => {
      const opened = await this.#opened
      opened?.db.close()
      this.#opened = undefined
    })
  }

  #open() {
    this.#opened ??= (async () => {
      const db = await openDuckDB({ memoryBytes: MEMORY_BYTES, threads: 1, tempDir: this.#tempDir })
      return { db, connection: await db.connect() }
    })()
    return this.#opened
  }
}
