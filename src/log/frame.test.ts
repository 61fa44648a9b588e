/** Lines of the log taken apart. What whole frames look like is compared in the property test. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventId } from './event-id.ts'
import { decodeBodyLine, segmentName, segmentNumber } from './frame.ts'

test('segments are named by twelve digits', () => {
  assert.equal(segmentName(7), '000000000007.ndjson')
  assert.equal(segmentNumber('000000000007.ndjson'), 7)
  assert.equal(segmentNumber('7.ndjson'), undefined)
  assert.equal(segmentNumber('000000000007.ids'), undefined)
})

test('event lines are taken apart without reading the event', () => {
  const json = '{"id":"x","a":{"dead":1}}'
  assert.deepEqual(decodeBodyLine(`{"c":12,"i":0,"p":3,"o":991,"id":"k\\"#0","it\\"s":${json}}`, 5), {
    kind: 'event',
    id: 'k"#0',
    event: { commit: 12, index: 0, partition: 3, offset: 991, stream: 'it"s', timeMs: 5, json },
  })
  assert.deepEqual(decodeBodyLine(`{"c":1,"i":2,"p":0,"o":4,"back\\\\":${json}}`, 5), {
    kind: 'event',
    id: undefined,
    event: { commit: 1, index: 2, partition: 0, offset: 4, stream: 'back\\', timeMs: 5, json },
  })
})

test('the id is the string, or the source text of what is no string', () => {
  assert.equal(eventId('{"a":{"id":"inner"},"id":"x\\u00e9"}', 'id'), 'xé')
  assert.equal(eventId('{"a":{"id":1},"id":9007199254740993}', 'id'), '9007199254740993')
  assert.equal(eventId('{"id":9007199254740993,"z":{"id":2}}', 'id'), '9007199254740993')
  assert.equal(eventId('{"id":null}', 'id'), undefined)
  assert.equal(eventId('{}', 'id'), undefined)
  assert.equal(eventId('{"old":"a"}', 'id', 'old'), 'a')
  assert.equal(eventId('{"old":1,"id":2}', 'id', 'old'), '2')
})
