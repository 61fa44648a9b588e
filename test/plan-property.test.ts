/**
 * Random views over random events, divided at random: what the plan's queries give must be what plain DuckDB gives for
 * the view's own SQL over the original events (laws 1 and 2, for the planner alone).
 *
 * REFOLD_RUNS and REFOLD_SEED set the number of runs and the seed; a failure prints a case to be kept in test/cases.
 */

import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { type DuckDbSyntax, openSqlSyntax } from '../src/engine/sql-syntax.ts'
import type { StreamDef } from '../src/model/schema.ts'
import { planView } from '../src/plan/plan-view.ts'
import { eventLine, randomEvent, randomView } from './support/random-view.ts'
import { type Range, ReferenceFold } from './support/reference-fold.ts'
import { assertSameRows } from './support/same-rows.ts'
import { ScratchDuckDb } from './support/scratch-duckdb.ts'

const stream: StreamDef = JSON.parse(
  readFileSync(path.join(import.meta.dirname, 'cases', 'streams', 'events.json'), 'utf8'),
)
const runs = Number(process.env['REFOLD_RUNS'] ?? 60)
const seed = process.env['REFOLD_SEED']

let syntax: DuckDbSyntax
let folder: string

before(async () => {
  syntax = await openSqlSyntax()
  folder = mkdtempSync(path.join(tmpdir(), 'refold-property-'))
})

after(() => {
  syntax.close()
  rmSync(folder, { recursive: true, force: true })
})

test('a random view, folded in any division, equals its own SQL run by plain DuckDB', async () => {
  const property = fc.asyncProperty(
    randomView,
    fc.oneof(
      { weight: 1, arbitrary: fc.array(randomEvent, { maxLength: 3 }) },
      { weight: 9, arbitrary: fc.array(randomEvent, { minLength: 12, maxLength: 40, size: 'max' }) },
    ),
    fc.array(fc.nat(100), { maxLength: 4 }),
    fc.array(fc.boolean(), { minLength: 1, maxLength: 5 }),
    fc.boolean(),
    async (random, events, borders, coins, parquet) => {
      const lines = events.map(eventLine)
      const oracle = await ScratchDuckDb.open()
      const db = await ScratchDuckDb.open()
      try {
        const planned = await planView({
          name: 'random',
          sql: random.view,
          place: { file: 'random.sql', line: 1, column: 1 },
          streams: [stream],
          syntax,
        })
        assert.ok(planned.ok, planned.ok ? '' : planned.mistakes.map((mistake) => mistake.message).join('\n'))
        await oracle.load(stream, lines.join('\n'), stream.name)
        const expected = await oracle.query(random.oracle)
        assert.deepEqual(planned.plan.columns, await oracle.describe(random.view))
        const reference = await ReferenceFold.load(db, stream, lines.join('\n'), folder)
        let toss = 0
        const actual = await reference.divided(planned.plan, rangesOf(lines.length, borders), {
          parquet,
          coin: () => coins[toss++ % coins.length]!,
        })
        const comparison = {
          ordered: planned.plan.finish.ordered,
          inexact: planned.plan.inexact.map(({ column }) => column),
        }
        assertSameRows(actual, expected, comparison, `@view\n${random.view}\n@events\n${lines.join('\n')}\n`)
      } finally {
        oracle.close()
        db.close()
      }
    },
  )
  await fc.assert(property, { numRuns: runs, ...(seed === undefined ? {} : { seed: Number(seed) }) })
})

/** Borders in percent of the events. */
function rangesOf(count: number, borders: readonly number[]): readonly Range[] {
  const inner = borders.map((border) => Math.round((border * count) / 100)).sort((a, b) => a - b)
  const points = [0, ...inner, count]
  return points.slice(1).map((to, index) => ({ from: points[index]!, to }))
}
