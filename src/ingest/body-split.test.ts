/** Finding events in a body: against JSON.parse, over random values, white space and damage. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { arrayElements, bodyFormat } from './body-split.ts'

const space = fc.string({ unit: fc.constantFrom(' ', '\n', '\r', '\t'), maxLength: 3 })
const value = fc.jsonValue({ maxDepth: 3, stringUnit: 'binary' })

test('the elements of an array are found exactly, whatever they hold', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(value, space, space, fc.boolean()), { maxLength: 6 }),
      space,
      (items, around) => {
        const texts = items.map(([item, , , pretty]) => JSON.stringify(item, null, pretty ? 2 : 0))
        const inner = items.map(([, before, after], at) => `${before}${texts[at]}${after}`).join(',')
        const body = Buffer.from(`${around}[${inner}]${around}`)
        const ranges = arrayElements(body, 1000)
        assert.equal(ranges.length, texts.length * 2)
        for (const [at, text] of texts.entries()) {
          assert.equal(body.toString('utf8', ranges[at * 2], ranges[at * 2 + 1]), text)
        }
      },
    ),
  )
})

test('a damaged array is refused, or has an element that is no JSON', () => {
  const damage = fc.record({
    at: fc.nat(),
    text: fc.constantFrom('', '[', ']', '{', '}', '"', ',', ':', '\\', '1'),
  })
  fc.assert(
    fc.property(fc.array(value, { minLength: 1, maxLength: 5 }), damage, (items, { at, text }) => {
      const whole = JSON.stringify(items)
      const cut = at % whole.length
      const broken = `[${(whole.slice(1, cut + 1) + text + whole.slice(cut + 2)).slice(0, -1)}]`
      if (isJson(broken)) return
      const body = Buffer.from(broken)
      let ranges: number[]
      try {
        ranges = arrayElements(body, 1000)
      } catch {
        return
      }
      const texts = ranges.flatMap((start, i) =>
        i % 2 === 0 ? body.toString('utf8', start, ranges[i + 1]) : [],
      )
      assert.ok(!texts.every(isJson), `${broken} was taken apart into ${texts.join(' | ')}`)
    }),
  )
})

test('how events stand in a body', () => {
  const cases: [string, boolean, string][] = [
    ['', false, 'empty'],
    [' \r\n\ufeff'.trim(), false, 'empty'],
    [' \n', true, 'empty'],
    ['\ufeff [', false, 'array'],
    ['\n[]', true, 'array'],
    ['{"a":1}', false, 'object'],
    ['{\n"a": {\n}}\n\n', false, 'object'],
    ['{\n"a": {\n}}\n\n', true, 'lines'],
    ['{"a":1}\n{"a":2}', false, 'lines'],
    ['{"a":"}\\"{"}\n{"a":2}', false, 'lines'],
    ['{"a":1\n{"a":2}', false, 'lines'],
    ['{"a":"\n{"a":2}', false, 'lines'],
    ['nonsense', false, 'lines'],
  ]
  for (const [text, lines, format] of cases) {
    assert.equal(bodyFormat(Buffer.from(text), lines), format, JSON.stringify(text))
  }
})

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
