/** Wrong calls of `check` do not compile: the compiler checks this file. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CheckOptions, check } from './check.ts'

const sql = 'SELECT day, sum(revenue) AS revenue FROM daily GROUP BY day'

test('a check keeps its name and its options', () => {
  const name: 'few' = check('few', { view: 'daily', changed: { share: 0.01 } }).name
  const options = { sql, every: '15m' } as const
  assert.deepEqual([name, check('none', options).options], ['few', options])
})

test('every kind compiles', () => {
  const made: CheckOptions = { view: 'daily', rows: { max: 1 } }
  const specs = [
    check('a', { sql }),
    check('b', { sql, every: '15m', cutover: false, timeout: '1m' }),
    check('c', { sql, truth: { file: 'truth/billing.csv' }, key: ['day'] }),
    check('d', { sql, truth: async () => [{ day: new Date(0), revenue: 1n }] }),
    check('e', {
      sql,
      truth: () => [{ day: 'x', revenue: '1.5' }],
      tolerance: { revenue: { relative: 0.1 } },
    }),
    check('f', { view: 'daily', changed: { rows: 100 } }),
    check('g', { view: 'daily', rows: { min: 1 }, every: 60_000 }),
    check('h', made),
  ]
  assert.equal(specs.length, 8)
})

test('wrong calls do not compile', () => {
  const wrong = [
    // @ts-expect-error it says nothing
    () => check('x', { every: '1m' }),
    // @ts-expect-error no such option
    () => check('x', { sql, evry: '15m' }),
    // @ts-expect-error over SQL or over a view
    () => check('x', { sql, view: 'daily' }),
    // @ts-expect-error a key goes with a truth
    () => check('x', { sql, key: ['day'] }),
    // @ts-expect-error nothing is said of the view
    () => check('x', { view: 'daily' }),
    // @ts-expect-error two checks in one
    () => check('x', { view: 'daily', rows: { min: 1 }, changed: { rows: 1 } }),
    // @ts-expect-error a truth goes with SQL
    () => check('x', { view: 'daily', rows: { min: 1 }, truth: () => [] }),
    // @ts-expect-error rows change at a cutover alone
    () => check('x', { view: 'daily', changed: { rows: 1 }, every: '1h' }),
    // @ts-expect-error it would never run
    () => check('x', { sql, cutover: false }),
    // @ts-expect-error rows or a share
    () => check('x', { view: 'daily', changed: { percent: 1 } }),
    // @ts-expect-error no such unit
    () => check('x', { sql, every: '1 fortnight' }),
    // @ts-expect-error a truth is plain values
    () => check('x', { sql, truth: async () => [{ day: ['x'] }] }),
  ]
  assert.equal(wrong.length, 12)
})
