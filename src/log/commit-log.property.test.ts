/**
 * Random histories against the naive log: requests with duplicates, conflicts and dead letters over several streams,
 * segments that roll and go, calls that fail, processes that are killed and disks that lose power, at every crash
 * point. After each step the files must hold exactly the commits that the answers speak of, in order:
 *
 *   acknowledged means present exactly once; a request is there wholly or not; offsets are dense and those of an
 *   acknowledged event are never given again; counts add up; ids are remembered as long as they should be; what is
 *   read back is byte-equal. After a crash the requests without an answer may be there too, as one commit.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { EffectKind } from '../std/faulty-files.ts'
import { crashPoints } from './crash-point.ts'
import { History, hits, type Step, streams } from './log-history.ts'
import type { NaiveRequest } from './naive-log.ts'

const requestArbitrary: fc.Arbitrary<NaiveRequest> = fc
  .record({
    stream: fc.constantFrom(...streams),
    key: fc.nat(30),
    events: fc.array(
      fc.record({
        id: fc.nat(9),
        content: fc.nat(7).map((n) => Math.max(0, n - 5)),
        partition: fc.nat(2),
        timeUs: fc.option(fc.integer({ min: -5, max: 1_000_000 }), { nil: undefined }),
        hasId: fc.nat(9).map((n) => n > 0),
      }),
      { maxLength: 5 },
    ),
    dead: fc.array(fc.constantFrom('{"broken', 'a\nb "é" \ud800'), { maxLength: 1 }),
  })
  .map(({ stream, key, events, dead }) => ({
    stream: stream.name,
    events: events.map(({ id, content, partition, timeUs, hasId }, i) => {
      // A stream with an id field has the id in its events, one of 64 bits among them; the other has it beside them.
      const text = stream.hasIdField ? (id === 9 ? '9007199254740993' : `i"${id}é`) : `${key % 3}#${i % 2}`
      const source = id === 9 ? text : JSON.stringify(text)
      const field = stream.hasIdField && hasId ? `"id":${source},` : ''
      return {
        partition: partition % stream.partitions,
        json: `{${field}"x":{"id":1},"text":"${'é'.repeat(content)}${'y'.repeat(key)}"}`.replace(
          /y+/,
          (ys) => (stream.hasIdField ? '' : ys.slice(0, 1)),
        ),
        ...(hasId ? { id: text } : {}),
        ...(timeUs === undefined ? {} : { timeUs }),
      }
    }),
    dead: dead.map((raw) => ({ code: 'EVENT_INVALID', raw: raw.toWellFormed() })),
  }))

const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('send' as const),
      requests: fc.array(requestArbitrary, { minLength: 1, maxLength: 4 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('again' as const), back: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(3000) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'clock back' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'roll' as const }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('drop' as const), back: fc.nat(4) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('fault' as const),
      effect: fc.constantFrom<EffectKind>('write', 'datasync', 'open', 'truncate', 'syncDir', 'unlink'),
      after: fc.nat(4),
      errno: fc.constantFrom('EIO', 'ENOSPC', 'EDQUOT'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('full' as const),
      bytes: fc.nat(200),
      on: fc.constantFrom<EffectKind>('write', 'datasync', 'open'),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'space' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('short' as const), bytes: fc.integer({ min: 1, max: 60 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('crash at' as const),
      point: fc.constantFrom(...crashPoints),
      after: fc.nat(2),
      power: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('crash' as const), power: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Step>({ kind: 'reopen' }, { kind: 'torn' }, { kind: 'torn segment' }),
  },
)

const settingsArbitrary = fc.record({
  segmentBytes: fc.constantFrom(300, 1500, 1 << 20),
  frameBytes: fc.constantFrom(100, 1 << 20),
  sidecarEntries: fc.constantFrom(1, 4, 1000),
})

test('a log under crashes and failures holds what it acknowledged, once', async () => {
  await fc.assert(
    fc.asyncProperty(
      settingsArbitrary,
      fc.array(stepArbitrary, { minLength: 5, maxLength: 40 }),
      fc.infiniteStream(fc.nat(1_000_000)),
      async (settings, steps, choices) => {
        const history = new History(settings, (count) => choices.next().value! % count)
        await history.open()
        for (const step of steps) await history.run(step)
        await history.finish()
      },
    ),
    { numRuns: Number(process.env['REFOLD_RUNS'] ?? 200), ...seedOption() },
  )
})

/** Touches every part of the log: rolls, drops, failed syncs, a full disk, a start after each kind of crash. */
const script: readonly Step[] = [
  ...[0, 1, 2].map((n) => sendOf(`a${n}`, n)),
  { kind: 'roll' },
  sendOf('a1', 1),
  { kind: 'fault', effect: 'datasync', after: 0, errno: 'EIO' },
  sendOf('b', 0),
  sendOf('b', 0),
  { kind: 'crash', power: false },
  { kind: 'fault', effect: 'write', after: 0, errno: 'ENOSPC' },
  sendOf('c', 2),
  ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => sendOf(`d${n}`, 0)),
  { kind: 'roll' },
  { kind: 'drop', back: 0 },
  { kind: 'fault', effect: 'write', after: 0, errno: 'EIO' },
  sendOf('e', 1),
  { kind: 'crash', power: false },
  sendOf('e', 1),
  { kind: 'fault', effect: 'write', after: 1, errno: 'EIO' },
  sendOf('f', 1),
  { kind: 'torn' },
  sendOf('f', 1),
  { kind: 'torn segment' },
  sendOf('g', 1),
  { kind: 'drop', back: 0 },
]

for (const point of crashPoints) {
  test(`a crash at ${point} loses and doubles nothing`, async () => {
    for (const power of [false, true]) {
      for (const after of [0, 1]) {
        for (let choice = 0; choice < 3; choice++) {
          let turn = choice
          const choose = (count: number) => {
            turn = (turn * 7 + 3) % 1009
            return turn % count
          }
          const settings = { segmentBytes: 1 << 20, frameBytes: 1 << 20, sidecarEntries: 2 }
          const history = new History(settings, choose)
          await history.open()
          await history.run({ kind: 'crash at', point, after, power })
          for (const step of script) await history.run(step)
          await history.finish()
        }
      }
    }
    assert.ok((hits.get(point) ?? 0) > 0, 'the point was hit')
  })
}

function sendOf(id: string, partition: number): Step {
  const json = `{"id":"${id}"}`
  return { kind: 'send', requests: [{ stream: 'orders', events: [{ id, json, partition }], dead: [] }] }
}

function seedOption(): { seed?: number } {
  const seed = process.env['REFOLD_SEED']
  return seed === undefined ? {} : { seed: Number(seed) }
}
