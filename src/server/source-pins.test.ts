/** Files are deleted only when nobody reads them: who pinned before is waited for, who pins after is not. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SourcePins } from './source-pins.ts'

const sources = { log: { segments: [], durable: 0 }, lake: { through: 0, files: [] } }

test('quiesce waits for the pins of before and for no later one', async () => {
  const pins = new SourcePins(() => sources)
  const first = pins.pin()
  const second = pins.pin()
  let free = false
  const waiting = pins.quiesce().then(() => {
    free = true
  })
  const later = pins.pin()
  first.release()
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(free, false)
  second.release()
  await waiting
  later.release()
  await pins.quiesce()
})

test('a reader that fails lets go', async () => {
  const pins = new SourcePins(() => sources)
  await assert.rejects(
    pins.with(async () => {
      throw new Error('no')
    }),
  )
  await pins.quiesce()
})

test('while somebody holds everything nothing is free, whoever came first', async () => {
  const pins = new SourcePins(() => sources)
  const pin = pins.pin()
  let free = false
  const waiting = pins.quiesce().then(() => {
    free = true
  })
  const hold = pins.hold()
  pin.release()
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual([free, pins.held], [false, 1])
  hold.release()
  await waiting
  assert.equal(pins.held, 0)
})
