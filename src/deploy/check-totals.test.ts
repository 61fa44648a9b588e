/** Totals against a truth: expected outcomes counted by hand, or in whole cents by plain integers. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isRefoldError } from '../../test/support/is-refold-error.ts'
import { seededRandom } from '../../test/support/seeded-random.ts'
import type { ToleranceDef } from '../define/types.ts'
import { compareTotals, type TotalsComparison, type TotalsRequest } from './check-totals.ts'

function compare(request: Partial<TotalsRequest>): TotalsComparison {
  const steps = compareTotals({ columns: [], rows: [], truth: [], key: [], tolerance: {}, ...request })
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

/** One number against another, within a tolerance: does it pass? */
function passes(
  result: string,
  truth: string,
  tolerance: Partial<ToleranceDef> = {},
  type = 'DECIMAL(38,9)',
): boolean {
  const { differing } = compare({
    columns: [{ name: 'n', type }],
    rows: [{ n: result }],
    truth: [{ n: truth }],
    tolerance: { n: { absolute: '0', relative: '0', ...tolerance } },
  })
  return differing === 0
}

test('without a tolerance a number is equal to the digit, however it is written', () => {
  assert.ok(passes('1.50', '1.5'))
  assert.ok(passes('1500', '1.5e3'))
  assert.ok(passes('-0.00', '0'))
  assert.ok(passes('+7', '007.0'))
  assert.ok(!passes('0.30000000000000004', '0.3'))
  assert.ok(!passes('12345678901234567890.000000001', '12345678901234567890'))
  assert.ok(!passes('9007199254740993', '9007199254740992'))
})

test('a difference of exactly the tolerance passes, the next digit does not', () => {
  assert.ok(passes('10.01', '10', { absolute: '0.01' }))
  assert.ok(passes('9.99', '10', { absolute: '0.01' }))
  assert.ok(!passes('10.010000001', '10', { absolute: '0.01' }))
  assert.ok(!passes('9.989999999', '10', { absolute: '0.01' }))
  // 0.1 + 0.2 - 0.3 is 0 in decimals and above 5e-17 in floats
  assert.ok(passes('0.3', '0.1', { absolute: '0.2' }))
})

test('a relative tolerance is a share of the truth, whatever its sign', () => {
  assert.ok(passes('1001', '1000', { relative: '0.001' }))
  assert.ok(!passes('1001.000000001', '1000', { relative: '0.001' }))
  assert.ok(passes('-1001', '-1000', { relative: '0.001' }))
  assert.ok(!passes('1000', '-1000', { relative: '0.001' }))
  assert.ok(!passes('0.000000001', '0', { relative: '0.5' }), 'a share of nothing is nothing')
})

test('the wider of two bounds counts', () => {
  assert.ok(passes('0.01', '0', { absolute: '0.01', relative: '0.001' }))
  assert.ok(passes('1001', '1000', { absolute: '0.01', relative: '0.001' }))
})

test('what is no number equals itself alone', () => {
  assert.ok(passes('NaN', 'NaN', {}, 'DOUBLE'))
  assert.ok(!passes('Infinity', '-Infinity', { relative: '1' }, 'DOUBLE'))
  assert.ok(!passes('Infinity', '1', { absolute: '5' }, 'DOUBLE'))
  assert.throws(
    () => passes('1', 'one'),
    isRefoldError('CHECK_TRUTH', /"one" in column "n", which is no number/),
  )
  assert.throws(() => passes('1', '1e99999'), isRefoldError('CHECK_TRUTH', /no number/))
})

test('rows meet by key, whatever their order and spelling', () => {
  const found = compare({
    columns: [
      { name: 'day', type: 'DATE' },
      { name: 'shop', type: 'BIGINT' },
      { name: 'at', type: 'TIMESTAMP' },
      { name: 'open', type: 'BOOLEAN' },
      { name: 'note', type: 'VARCHAR' },
    ],
    key: ['day', 'shop', 'at'],
    rows: [
      { day: '2026-01-01', shop: '1', at: '2026-01-01T10:00:00Z', open: true, note: 'a' },
      { day: '2026-01-02', shop: '2', at: '2026-01-02T10:00:00.5Z', open: false, note: null },
    ],
    truth: [
      { day: '2026-01-02', shop: '2.0', at: '2026-01-02 10:00:00.500', open: 'FALSE', note: null, more: '1' },
      {
        day: '2026-01-01T00:00:00.000Z',
        shop: '1',
        at: '2026-01-01T12:00:00+02:00',
        open: 'true',
        note: 'a',
      },
    ],
  })
  assert.deepEqual(found, { keys: 2, differing: 0, notInTruth: 0, onlyInTruth: 0, samples: [] })
})

test('every difference is told: values, NULLs, rows of one side alone', () => {
  const columns = [
    { name: 'day', type: 'VARCHAR' },
    { name: 'n', type: 'DECIMAL(18,2)' },
    { name: 'm', type: 'BIGINT' },
  ]
  const found = compare({
    columns,
    key: ['day'],
    tolerance: { n: { absolute: '0', relative: '0.01' } },
    rows: [
      { day: 'a', n: '10.00', m: '1' },
      { day: 'b', n: '10.00', m: '1' },
      { day: 'c', n: null, m: '1' },
      { day: 'd', n: '1.00', m: '1' },
    ],
    truth: [
      { day: 'a', n: '9', m: '2' },
      { day: 'b', n: '10', m: '1' },
      { day: 'c', n: '0', m: '1' },
      { day: 'e', n: '5', m: '1' },
    ],
  })
  assert.deepEqual(found, {
    ...{ keys: 5, differing: 2, notInTruth: 1, onlyInTruth: 1 },
    samples: [
      { key: { day: 'a' }, column: 'n', result: '10.00', truth: '9', difference: '1', allowed: '0.09' },
      { key: { day: 'a' }, column: 'm', result: '1', truth: '2', difference: '-1', allowed: '0' },
      { key: { day: 'c' }, column: 'n', result: null, truth: '0' },
      { key: { day: 'd' }, missing: 'truth', result: { n: '1.00', m: '1' } },
      { key: { day: 'e' }, missing: 'result', truth: { n: '5', m: '1' } },
    ],
  })
})

test('what cannot be compared is no difference but an error', () => {
  const columns = [
    { name: 'day', type: 'VARCHAR' },
    { name: 'revenue', type: 'BIGINT' },
  ]
  const row = { day: 'a', revenue: '1' }
  const missing = isRefoldError('CHECK_TRUTH', /the truth has no column "revenue"/)
  assert.throws(
    () => compare({ columns, rows: [row], truth: [{ day: 'a', revenu: '1' }], key: ['day'] }),
    missing,
  )
  const twice = (side: string) => isRefoldError('CHECK_TRUTH', new RegExp(`${side} has two rows for day "a"`))
  assert.throws(() => compare({ columns, rows: [row, row], truth: [row], key: ['day'] }), twice('the SQL'))
  assert.throws(() => compare({ columns, rows: [row], truth: [row, row], key: ['day'] }), twice('the truth'))
  const single = isRefoldError('CHECK_TRUTH', /the SQL has more than one row, and the check has no key/)
  assert.throws(() => compare({ columns, rows: [row, row], truth: [row] }), single)
})

test('random totals in cents: as integers say', () => {
  const seed = Number(process.env.REFOLD_SEED ?? Math.floor(Math.random() * 2 ** 31))
  const next = seededRandom(seed)
  const below = (limit: number) => Math.floor(next() * limit)
  for (let round = 0; round < 200; round++) {
    const count = 1 + below(20)
    const cents = Array.from({ length: count }, () => below(100_000) - 50_000)
    const shifts = cents.map(() => below(11) - 5)
    const allowed = below(6)
    const text = (value: number) =>
      `${value < 0 ? '-' : ''}${Math.floor(Math.abs(value) / 100)}.${String(Math.abs(value) % 100).padStart(2, '0')}`
    const found = compare({
      columns: [
        { name: 'id', type: 'INTEGER' },
        { name: 'total', type: 'DECIMAL(18,2)' },
      ],
      key: ['id'],
      tolerance: { total: { absolute: text(allowed), relative: '0' } },
      rows: cents.map((value, id) => ({ id: String(id), total: text(value + shifts[id]!) })),
      truth: cents.map((value, id) => ({ id: String(id), total: text(value) })).reverse(),
    })
    assert.equal(
      found.differing,
      shifts.filter((shift) => Math.abs(shift) > allowed).length,
      `REFOLD_SEED=${seed}`,
    )
    assert.equal(found.keys, count)
  }
})
