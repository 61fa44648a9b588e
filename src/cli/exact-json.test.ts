/** No digit is lost between an answer and the screen. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseExactJson, printExactJson } from './exact-json.ts'

test('every integer comes back digit for digit', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(10n ** 38n), max: 10n ** 38n }), fc.string(), (value, text) => {
      const source = `{"n":[${value}],"t":${JSON.stringify(text)}}`
      assert.equal(printExactJson(parseExactJson(source)), source)
    }),
  )
})

test('other values are what JSON.parse gives', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const source = JSON.stringify(value)
      assert.deepEqual(JSON.parse(printExactJson(parseExactJson(source))), JSON.parse(source))
    }),
  )
})
