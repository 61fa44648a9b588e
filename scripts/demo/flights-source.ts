/**
 * The flights as request bodies, in an order that real life could have: by time, but some bodies arrive a little
 * late, some twice, and some have their lines the wrong way round. All of it is decided by a fixed seed, so that
 * every run sends the same. Most flights are sent in the first act, the rest in the second. State: the position in the
 * scratch file that DuckDB wrote from the Parquet file.
 */

import { closeSync, openSync, readSync } from 'node:fs'
import path from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { root } from '../steps.ts'

export const flightsParquet = path.join(root, 'node_modules/vega-datasets/data/flights-3m.parquet')

export const flightsTotal = 3_000_000
/** Flights from here on come in the second act, and with them a few of an earlier day, which are very late by then. */
const secondActFrom = 2_820_000
const lateFrom = 1_400_000
const lateTo = 1_405_000
export const firstActFlights = secondActFrom - (lateTo - lateFrom)

const conditions = {
  all: 'true',
  first: `file_row_number < ${secondActFrom} AND NOT (file_row_number >= ${lateFrom} AND file_row_number < ${lateTo})`,
  second: `file_row_number >= ${secondActFrom} OR (file_row_number >= ${lateFrom} AND file_row_number < ${lateTo})`,
}

/**
 * The Parquet file's rows with the names of the stream's schema, those of one act or all; the row's number makes a
 * stable id.
 */
export function flightsSql(act: keyof typeof conditions): string {
  return `SELECT 'F' || file_row_number AS flight, date AS departed_at, origin, destination,
    delay::INTEGER AS delay, distance::INTEGER AS distance
    FROM read_parquet('${flightsParquet}', file_row_number = true) WHERE ${conditions[act]}`
}

export interface Batch {
  readonly body: Buffer
  readonly events: number
  readonly kind: 'in order' | 'late' | 'again' | 'reversed'
}

export async function writeFlights(files: {
  readonly first: string
  readonly second: string
}): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  for (const act of ['first', 'second'] as const) {
    await connection.run(`COPY (SELECT * REPLACE (strftime(departed_at, '%Y-%m-%dT%H:%M:%SZ') AS departed_at)
      FROM (${flightsSql(act)})) TO '${files[act]}' (FORMAT json)`)
  }
  connection.closeSync()
  instance.closeSync()
}

/** One in 50 bodies is late by 3 to 20 bodies, one in 50 is sent again later, one in 50 is reversed. */
export function* batches(file: string, eventsPerBatch: number, seed = 20010101): Generator<Batch> {
  const random = mulberry(seed)
  const held: { readonly due: number; readonly batch: Batch }[] = []
  let number = 0
  for (const { body, events } of bodies(file, eventsPerBatch)) {
    const dice = random()
    const later = number + 3 + Math.floor(random() * 18)
    if (dice < 0.02) held.push({ due: later, batch: { body, events, kind: 'late' } })
    else if (dice < 0.04) {
      yield { body, events, kind: 'in order' }
      held.push({ due: later, batch: { body, events, kind: 'again' } })
    } else if (dice < 0.06) yield { body: reversed(body), events, kind: 'reversed' }
    else yield { body, events, kind: 'in order' }
    number += 1
    while (held.length > 0 && (held[0]?.due ?? 0) <= number) {
      const next = held.shift()
      if (next !== undefined) yield next.batch
    }
  }
  for (const { batch } of held) yield batch
}

function* bodies(file: string, eventsPerBatch: number): Generator<{ body: Buffer; events: number }> {
  const descriptor = openSync(file, 'r')
  const chunk = Buffer.alloc(4 * 1024 * 1024)
  let rest: Buffer = Buffer.alloc(0)
  for (;;) {
    const read = readSync(descriptor, chunk)
    if (read === 0) break
    const text = Buffer.concat([rest, chunk.subarray(0, read)])
    let start = 0
    let lines = 0
    for (let at = text.indexOf(10); at >= 0; at = text.indexOf(10, at + 1)) {
      lines += 1
      if (lines < eventsPerBatch) continue
      yield { body: text.subarray(start, at + 1), events: lines }
      start = at + 1
      lines = 0
    }
    rest = text.subarray(start)
  }
  closeSync(descriptor)
  if (rest.length > 0) yield { body: rest, events: rest.toString('latin1').trimEnd().split('\n').length }
}

function reversed(body: Buffer): Buffer {
  return Buffer.from(`${body.toString('utf8').trimEnd().split('\n').reverse().join('\n')}\n`)
}

/** A small seeded generator of numbers in [0, 1). */
function mulberry(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
