/**
 * Runs every case file. An accepted view goes through bulk, ticks, slices by way of Parquet, and merges of merges in a
 * random grouping; each must give what plain DuckDB gives for the user's own SQL over the original events, at the
 * last cut and at the empty one. A refused view must be refused for all its mistakes, each at its place.
 */

import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type DuckDbSyntax, openSqlSyntax } from '../src/engine/sql-syntax.ts'
import type { StreamDef } from '../src/model/schema.ts'
import type { ViewPlan } from '../src/plan/plan.ts'
import { planView } from '../src/plan/plan-view.ts'
import { type CaseFile, readCases } from './support/case-file.ts'
import { type Range, ReferenceFold } from './support/reference-fold.ts'
import { assertSameRows } from './support/same-rows.ts'
import { ScratchDuckDb } from './support/scratch-duckdb.ts'

const here = path.join(import.meta.dirname, 'cases')
const readStream = (name: string): StreamDef =>
  JSON.parse(readFileSync(path.join(here, 'streams', `${name}.json`), 'utf8'))
const stream = readStream('events')
const streams = [stream, { ...stream, name: 'orders' }]
const sharedEvents = readFileSync(path.join(here, 'streams', 'events.ndjson'), 'utf8').trim()
const only = process.env['REFOLD_CASE']
const seed = Number(process.env['REFOLD_SEED'] ?? Date.now() % 1_000_000)

let syntax: DuckDbSyntax
let folder: string

before(async () => {
  syntax = await openSqlSyntax()
  folder = mkdtempSync(path.join(tmpdir(), 'refold-cases-'))
})

after(async () => {
  for (const { oracle, db } of await Promise.all(loaded.values())) {
    oracle.close()
    db.close()
  }
  syntax.close()
  rmSync(folder, { recursive: true, force: true })
})

const cases = (kind: string): readonly CaseFile[] =>
  readCases(path.join(here, kind)).filter((one) => only === undefined || one.name.includes(only))

const plan = (one: CaseFile): ReturnType<typeof planView> =>
  planView({
    name: one.name,
    sql: one.view,
    place: { file: `${one.name}.sql`, line: 1, column: 1 },
    streams,
    views: ['other_view'],
    syntax,
  })

describe('accepted views agree with plain DuckDB', () => {
  for (const one of cases('accepted')) {
    test(one.name, async () => {
      const planned = await plan(one)
      assert.ok(planned.ok, planned.ok ? '' : planned.mistakes.map((mistake) => mistake.message).join('\n'))
      const events = one.events ?? sharedEvents
      await agrees(planned.plan, one, events)
      await agrees(planned.plan, one, '')
    })
  }
})

interface Loaded {
  readonly oracle: ScratchDuckDb
  readonly db: ScratchDuckDb
  readonly reference: ReferenceFold
}

/** Databases by the events they hold: opening one takes longer than a case. */
const loaded = new Map<string, Promise<Loaded>>()

async function load(events: string): Promise<Loaded> {
  const oracle = await ScratchDuckDb.open()
  await oracle.load(stream, events, stream.name)
  const db = await ScratchDuckDb.open()
  return { oracle, db, reference: await ReferenceFold.load(db, stream, events, folder) }
}

async function agrees(view: ViewPlan, one: CaseFile, events: string): Promise<void> {
  const lines = events === '' ? [] : events.split('\n')
  const loading = loaded.get(events) ?? load(events)
  loaded.set(events, loading)
  const { oracle, reference } = await loading
  const expected = await oracle.query(one.oracle)
  assert.deepEqual(view.columns, await oracle.describe(one.view), 'names and types are those of the original')
  assert.deepEqual(await reference.columns(view), view.columns, 'the finish has the types of the plan')
  const comparison = { ordered: view.finish.ordered, inexact: view.inexact.map(({ column }) => column) }
  assertSameRows(await reference.bulk(view, lines.length), expected, comparison, 'bulk')
  if (lines.length === 0) {
    const nothing = await reference.divided(view, [], { parquet: false, coin: () => true })
    assertSameRows(nothing, expected, comparison, 'no partial rows at all')
  }
  const random = randomFrom(seed)
  const everyEvent = lines.map((_, index): Range => ({ from: index, to: index + 1 }))
  const tick = await reference.divided(view, everyEvent.slice(0, 12).concat({ from: 12, to: lines.length }), {
    parquet: false,
    coin: () => true,
  })
  assertSameRows(tick, expected, comparison, 'ticks')
  for (const parquet of [false, true]) {
    const ranges = division(lines.length, random)
    const rows = await reference.divided(view, ranges, { parquet, coin: () => random() < 0.5 })
    assertSameRows(
      rows,
      expected,
      comparison,
      `seed ${seed}, ranges ${JSON.stringify(ranges)}, parquet ${parquet}`,
    )
  }
}

function division(count: number, random: () => number): readonly Range[] {
  const borders = Array.from({ length: 4 }, () => Math.floor(random() * (count + 1))).sort((a, b) => a - b)
  const points = [0, ...borders, count]
  return points.slice(1).map((to, index) => ({ from: points[index]!, to }))
}

/** A small generator of random numbers, so that a failure can be run again by its seed. */
function randomFrom(start: number): () => number {
  let state = (start * 2_654_435_761) >>> 0
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) >>> 0
    return state / 2 ** 32
  }
}

describe('refused views name every mistake and its place', () => {
  for (const one of cases('refused')) {
    test(one.name, async () => {
      assert.ok(one.refusals.length > 0, 'a refused case says why')
      const planned = await plan(one)
      assert.ok(!planned.ok, 'the view was accepted')
      const found = planned.mistakes.map(({ code, place, message, hint }) => ({
        at: `${code} ${place?.line}:${place?.column}`,
        text: `${message} | ${hint}`,
      }))
      const all = found.map(({ at, text }) => `${at} ${text}`).join('\n')
      assert.deepEqual(
        found.map(({ at }) => at),
        one.refusals.map(({ code, line, column }) => `${code} ${line}:${column}`),
        all,
      )
      for (const [index, { words }] of one.refusals.entries()) {
        assert.ok(found[index]!.text.includes(words), `"${words}" is not in: ${found[index]!.text}`)
      }
    })
  }
})
