/**
 * What the fold benchmarks read: lake files as the lake would publish them, written by plain DuckDB, and a hot log,
 * written by the real commit log. The stream and plan are those of the other benchmarks. No state.
 */

import { mkdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { openSqlSyntax } from '../src/engine/sql-syntax.ts'
import type { LakeManifest } from '../src/lake/types.ts'
import { openCommitLog } from '../src/log/commit-log.ts'
import type { LogManifest } from '../src/log/types.ts'
import type { StreamDef } from '../src/model/schema.ts'
import type { ViewPlan } from '../src/plan/plan.ts'
import { planView } from '../src/plan/plan-view.ts'
import { systemClock } from '../src/std/clock.ts'
import { realFiles } from '../src/std/files.ts'
import { userStats } from './stand.ts'
import { poolEvent, type Workload } from './workload.ts'

const text = { type: { kind: 'string' }, optional: false, nullable: false } as const

export const eventsStream: StreamDef = {
  name: 'events',
  schema: {
    kind: 'object',
    fields: [
      { name: 'event_id', ...text },
      { name: 'user_id', ...text },
      { name: 'session_id', ...text },
      { name: 'page', ...text },
      {
        name: 'revenue',
        type: { kind: 'decimal', precision: 18, scale: 2 },
        optional: false,
        nullable: false,
      },
      { name: 'ts', type: { kind: 'timestamp' }, optional: false, nullable: false },
    ],
  },
  key: 'user_id',
  time: 'ts',
  partitions: 4,
  dedupe: { timeMs: 86_400_000, count: 1000 },
  latenessMs: 0,
}

export async function planUserStats(): Promise<ViewPlan> {
  const syntax = await openSqlSyntax()
  const place = { file: 'bench', line: 1, column: 1 }
  const result = await planView({
    name: 'user_stats',
    sql: userStats,
    place,
    streams: [eventsStream],
    syntax,
  })
  syntax.close()
  if (!result.ok) throw new Error(result.mistakes.map((mistake) => mistake.message).join('\n'))
  return result.plan
}

/** Files of two million rows each, a thousand events a commit, 200,000 keys. */
export async function writeLake(folder: string, events: number): Promise<LakeManifest> {
  mkdirSync(folder, { recursive: true })
  const perFile = Math.min(events, 2_000_000)
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const files = []
  for (let first = 0; first < events; first += perFile) {
    const file = path.join(folder, `${first}.parquet`)
    await connection.run(`COPY (
      SELECT lpad(i::VARCHAR, 16, '0') AS event_id, 'u' || lpad(((i * 7919 + 13) % 200000)::VARCHAR, 7, '0') AS user_id,
        's' || (hash(i) % 100000000)::VARCHAR AS session_id, '/p/' || (hash(i + 1) % 1000)::VARCHAR AS page,
        ((hash(i + 2) % 100000)::DOUBLE / 100)::DECIMAL(18,2) AS revenue,
        TIMESTAMP '2026-01-01' + to_milliseconds(i) AS ts, (i % 4)::INTEGER AS _partition, i // 4 AS _offset,
        1 + i // 1000 AS _commit, (i % 1000)::INTEGER AS _index, TIMESTAMP '2026-01-01' AS _ingested_at
      FROM range(${first}, ${first + perFile}) t(i)) TO '${file}' (FORMAT parquet)`)
    files.push({
      stream: 'events',
      from: first / 1000,
      to: (first + perFile) / 1000,
      path: file,
      rows: perFile,
      bytes: statSync(file).size,
      checksum: 0,
      offsets: Array.from({ length: 4 }, () => ({ from: first / 4, to: (first + perFile) / 4 })),
      fields: eventsStream.schema.fields.map((field) => field.name),
    })
  }
  connection.closeSync()
  instance.closeSync()
  return { through: events / 1000, files }
}

/** A hot log of that many events, a thousand a request. */
export async function writeHotLog(folder: string, events: number): Promise<LogManifest> {
  const log = await openCommitLog({
    dir: path.join(folder, 'log'),
    lostFoundDir: path.join(folder, 'lost+found'),
    streams: [eventsStream],
    files: realFiles,
    clock: systemClock,
    dedupeSeed: '0'.repeat(32),
  })
  const workload: Workload = { keys: 200_000, poolEvents: 200_000, eventsPerRequest: 1000 }
  const prepared = Array.from({ length: workload.poolEvents }, (_, index) => {
    const event = poolEvent(workload, index)
    const json = JSON.stringify({ event_id: String(index).padStart(16, '0'), ...event })
    return { stream: 'events', partition: index % 4, json, timeUs: Date.parse(event.ts) * 1000 }
  })
  const waiting: Promise<unknown>[] = []
  for (let first = 0; first < events; first += 1000) {
    const start = first % workload.poolEvents
    const batch = prepared.slice(start, start + 1000).map((event, index) => ({ ...event, index }))
    waiting.push(log.append({ stream: 'events', events: batch, deadLetters: [], bytes: 150_000 }))
    if (waiting.length >= 32) await Promise.all(waiting.splice(0))
  }
  await Promise.all(waiting)
  await log.close()
  return log.manifest()
}
