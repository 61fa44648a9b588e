/** Cells are counted as terminals draw them. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cutToWidth, escapeControls, padToWidth, textWidth } from './text-width.ts'

test('letters of one cell, two cells and none', () => {
  const widths: Record<string, number> = {
    '': 0,
    abc: 3,
    café: 4,
    'cafe\u0301': 4,
    抹茶ラテ: 8,
    한국어: 6,
    '👍': 2,
    '👩‍👩‍👧': 2,
    '🇩🇪': 2,
    '❤️': 2,
    ｆｕｌｌ: 8,
    'a\u200bb': 2,
    '─…→': 3,
  }
  for (const [text, width] of Object.entries(widths))
    assert.equal(textWidth(text), width, JSON.stringify(text))
})

test('a text is cut within its width and never inside a letter', () => {
  assert.equal(cutToWidth('abcdef', 6), 'abcdef')
  assert.equal(cutToWidth('abcdef', 4), 'abc…')
  assert.equal(cutToWidth('抹茶ラテ', 6), '抹茶…')
  assert.equal(cutToWidth('👩‍👩‍👧👩‍👩‍👧', 3), '👩‍👩‍👧…')
})

test('padding fills up to the width', () => {
  assert.equal(padToWidth('抹', 4, 'left'), '  抹')
  assert.equal(padToWidth('ab', 4, 'right'), 'ab  ')
  assert.equal(padToWidth('abcdef', 4, 'right'), 'abcdef')
})

test('data cannot steer the terminal', () => {
  assert.equal(escapeControls('a\nb\tc\u001b[31md\u202ee'), 'a\\nb\\tc\\u001b[31md\\u202ee')
})
