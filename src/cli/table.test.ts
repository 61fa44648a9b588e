/** Tables as a person sees them; every expected picture is drawn by hand. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { plainStyle, styleFor } from './colours.ts'
import { formatTable } from './table.ts'

const columns = [
  { name: 'product', type: 'VARCHAR' },
  { name: 'orders', type: 'BIGINT' },
  { name: 'revenue', type: 'DECIMAL(38,2)' },
]

test('numbers stand to the right, wide letters count twice, NULL is written', () => {
  const rows = [
    { product: '抹茶ラテ', orders: 9_007_199_254_740_993n, revenue: '138.00' },
    { product: 'line\nbreak', orders: 7, revenue: null },
  ]
  assert.equal(
    formatTable(columns, rows, { style: plainStyle }),
    [
      'product                orders  revenue',
      '───────────  ────────────────  ───────',
      '抹茶ラテ     9007199254740993   138.00',
      'line\\nbreak                 7     NULL',
      '',
    ].join('\n'),
  )
})

test('columns shrink to the width of the terminal, the widest first', () => {
  const rows = [{ product: 'a very long name of a product', orders: 1, revenue: '2.40' }]
  const text = formatTable(columns, rows, { style: plainStyle, width: 30 })
  assert.equal(
    text,
    [
      'product        orders  revenue',
      '─────────────  ──────  ───────',
      'a very long …       1     2.40',
      '',
    ].join('\n'),
  )
})

test('a table without rows still names its columns', () => {
  assert.equal(formatTable(columns, [], { style: plainStyle }).split('\n').length, 3)
})

test('nested values are JSON', () => {
  const text = formatTable([{ name: 's', type: 'STRUCT(a INTEGER[])' }], [{ s: { a: [1, 2n] } }], {
    style: plainStyle,
  })
  assert.match(text, /\{"a":\[1,2\]\}/)
})

test('colours only on a terminal, and never with NO_COLOR', () => {
  assert.equal(styleFor(true, {}).red('x'), '\u001b[31mx\u001b[39m')
  assert.equal(styleFor(false, {}).red('x'), 'x')
  assert.equal(styleFor(true, { NO_COLOR: '1' }).red('x'), 'x')
  assert.equal(styleFor(true, { TERM: 'dumb' }).red('x'), 'x')
})
