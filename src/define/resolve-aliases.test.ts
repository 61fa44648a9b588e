/** Where former names land in a schema, and which are refused. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { lowerSchema } from './lower.ts'
import { withAliases } from './resolve-aliases.ts'

const schema = lowerSchema(
  z.object({
    id: z.string(),
    'dot.ted': z.string(),
    at: z.object({ city: z.string(), place: z.object({ zip: z.string() }) }),
    items: z.array(z.object({ sku: z.string() })),
    prices: z.record(z.string(), z.object({ net: z.number() })),
  }),
  (_path, message) => assert.fail(message),
)

/** Path → former names, of every field that has some. */
function placed(aliases: unknown): { named: Record<string, readonly string[]>; faults: string[] } {
  assert.ok(schema)
  const faults: string[] = []
  const result = withAliases(schema, aliases, (key, message) => faults.push(`${key}: ${message}`))
  const named: Record<string, readonly string[]> = {}
  JSON.stringify(result, (_key, value: unknown) => {
    const field = value as { name?: string; aliases?: readonly string[] } | null
    if (typeof field === 'object' && field?.aliases !== undefined) named[field.name ?? ''] = field.aliases
    return value
  })
  return { named, faults }
}

test('former names are placed at any depth', () => {
  const aliases = {
    ...{ id: 'key', 'dot.ted': ['a.b', 'ab'], at: 'where', 'at.city': 'town', 'at.place.zip': 'postcode' },
    ...{ 'items[].sku': 'code', 'prices{}.net': 'value' },
  }
  assert.deepEqual(placed(aliases), {
    named: {
      ...{ id: ['key'], 'dot.ted': ['a.b', 'ab'], at: ['where'], city: ['town'], zip: ['postcode'] },
      ...{ sku: ['code'], net: ['value'] },
    },
    faults: [],
  })
  assert.deepEqual(placed(undefined), { named: {}, faults: [] })
})

test('wrong ones are refused, each by itself', () => {
  const faultOf = (aliases: unknown) => {
    const { faults } = placed(aliases)
    assert.equal(faults.length, 1, JSON.stringify(faults))
    return faults[0] ?? ''
  }
  assert.match(faultOf({ idd: 'key' }), /has no field "idd"/)
  assert.match(faultOf({ 'items.sku': 'code' }), /has no field "items.sku"/)
  assert.match(faultOf({ id: 'AT' }), /"AT" cannot be a former name of field "id": it is one of field "at"/)
  assert.match(faultOf({ id: 'ID' }), /it is one of field "id"/)
  assert.match(faultOf({ id: 'old', at: 'Old' }), /it is one of field "id"/)
  assert.match(faultOf({ id: '_offset' }), /not a name that a field had/)
  assert.match(faultOf({ id: 3 }), /not a name/)
  assert.match(faultOf({ id: [] }), /not a name/)
  assert.match(faultOf(['id']), /not an object/)
  assert.deepEqual(placed({ 'at.city': 'id', id: 'city' }).faults, [])
})
