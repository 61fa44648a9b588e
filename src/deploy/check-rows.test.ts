/** Rows keep the digits of their numbers, whatever texts stand between them: JSON.parse says what the rest is. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseTotals } from './check-rows.ts'
import type { TotalsRow } from './check-totals.ts'

function parse(json: string): readonly TotalsRow[] {
  const steps = parseTotals(json)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
  }
}

test('numbers come as their digits', () => {
  assert.deepEqual(parse('[{"a":12345678901234567890.10,"b":-0.0,"c":1e-7,"d":"1","e":null,"f":true}]'), [
    { a: '12345678901234567890.10', b: '-0.0', c: '1e-7', d: '1', e: null, f: true },
  ])
})

test('no rows, nested rows, and signs within texts', () => {
  assert.deepEqual(parse('[]'), [])
  assert.deepEqual(parse(' [ {"row" : {"a": {"b": [1, {"c": 2}]}}} , {} ]'), [
    { row: { a: { b: ['1', { c: '2' }] } } },
    {},
  ])
  const odd = ['}', '{', '"', '\\', '\\"}', '],[{"a":1}', '\u2028', '😀{', '\n\t', 'x'.repeat(100_000)]
  const rows = Array.from({ length: 2_000 }, (_, index) => ({
    [odd[index % odd.length]!.slice(0, 20)]: odd[(index * 7) % odd.length]!,
    also: odd[(index * 3 + 1) % 9]!,
  }))
  assert.deepEqual(parse(JSON.stringify(rows)), rows)
})
