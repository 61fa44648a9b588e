/** The rules by which deaths name a view, played through by hand. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Work } from '../engine/work-mark.ts'
import { CrashLoop } from './crash-loop.ts'

function fold(view: string, to: number): Work {
  return { kind: 'fold', view, version: 'v1', to }
}

function at(works: readonly Work[]) {
  return { works, done: [] }
}

function progress(view: string, cut: number) {
  return { view, version: 'v1', cut }
}

test('two deaths at one fold make the next engine careful, a third death of that one names the view', () => {
  const loop = new CrashLoop()
  assert.equal(loop.died(at([fold('bad', 7)]), false), undefined)
  assert.equal(loop.careful, false)
  assert.equal(loop.died(at([fold('bad', 9)]), false), undefined)
  assert.equal(loop.careful, true)
  assert.deepEqual(loop.died(at([fold('bad', 9)]), true), { work: fold('bad', 7), deaths: 3 })
  loop.forget('bad', 'v1')
  assert.equal(loop.careful, false)
})

test('a death of an engine that was not careful names nobody: a query may have killed it', () => {
  const loop = new CrashLoop()
  for (let death = 0; death < 5; death++) assert.equal(loop.died(at([fold('a', 7)]), false), undefined)
})

test('a view that got past where engines died counts anew', () => {
  const loop = new CrashLoop()
  loop.died(at([fold('a', 7)]), false)
  loop.died(at([fold('a', 8)]), false)
  loop.progressed([progress('a', 7), progress('b', 99)])
  assert.equal(loop.careful, true)
  loop.progressed([progress('a', 8)])
  assert.equal(loop.careful, false)
  assert.equal(loop.died(at([fold('a', 9)]), true), undefined)
})

test('deaths that no work explains make engines careful until one has lived', () => {
  const loop = new CrashLoop()
  loop.died(at([]), false)
  loop.died(at([]), false)
  assert.equal(loop.careful, true)
  assert.equal(loop.died(at([]), true), undefined)
  loop.healthy()
  assert.equal(loop.careful, false)
})

test('loading that kills is over once the view was loaded', () => {
  const load = { kind: 'load', view: 'a', version: 'v1', to: 3 } as const
  const loop = new CrashLoop()
  loop.died(at([load]), false)
  loop.died(at([load]), false)
  loop.progressed([progress('b', 50)])
  assert.deepEqual(loop.died(at([load]), true)?.work, load)
  loop.progressed([progress('a', 0)])
  assert.equal(loop.careful, false)
})

test('images that kill name their view without care, unless one went well in between', () => {
  const image = { kind: 'image', view: 'a', version: 'v1', to: 3 } as const
  const never = new CrashLoop()
  never.died(at([image]), false)
  never.died(at([image]), false)
  assert.deepEqual(never.died(at([image]), false)?.work, image)
  const sometimes = new CrashLoop()
  for (let death = 0; death < 5; death++) {
    assert.equal(sometimes.died({ works: [image], done: ['image a@v1'] }, false), undefined)
  }
})
