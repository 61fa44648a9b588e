/**
 * Reads pieces of the lake for readers of the log, off the live engine's path: a small DuckDB in the server's own
 * process, opened when the first reader asks. Its work runs in libuv's threads, so requests and commits go on.
 * State: that database and its connection; pieces are read one after the other.
 */

import { type DuckDB, openDuckDB } from '../engine/duckdb.ts'
import type { LogSources } from '../engine/engine.ts'
import { readLakeEvents } from '../engine/read-events.ts'
import type { LogEvent } from '../log/types.ts'
import type { CommitRange, CommitSeq } from '../model/cut.ts'
import type { StreamDef } from '../model/schema.ts'
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
  read(sources: LogSources, stream: StreamDef, range: CommitRange, limit: number): Promise<LakePiece> {
    return this.#turn.run(async () => {
      const { connection } = await this.#open()
      const { files } = sources.lake
      const events = await readLakeEvents(connection, stream, files, { range }, limit)
      const last = events.at(-1)
      if (last === undefined || events.length < limit) return { events, through: range.to }
      // The limit may have cut the last commit: its other events are read as well.
      const rest = { range: { from: last.commit - 1, to: last.commit }, after: last }
      events.push(...(await readLakeEvents(connection, stream, files, rest, Number.MAX_SAFE_INTEGER)))
      return { events, through: last.commit }
    })
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
