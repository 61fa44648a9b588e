/** Wrong folds do not compile, and the types of what functions get come out right: the compiler checks this file. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { decimal } from './exact.ts'
import { fold } from './fold.ts'
import { stream } from './stream.ts'

const events = stream('events', {
  schema: z.object({ user: z.string(), page: z.string(), amount: decimal(18, 2), count: z.int() }),
  key: 'user',
})
const row = z.object({ n: z.int() })
const init = () => ({ n: 0 })
const finish = ({ n }: { n: number }) => ({ n })

test('step gets all fields, or those that the fold reads and the key', () => {
  const all = fold('all', {
    ...{ from: events, key: 'user', row, init, finish },
    step: (state, event) => ({ n: state.n + event.count + event.page.length + event.amount.length }),
  })
  const some = fold('some', {
    ...{ from: events, key: 'user', reads: ['count'], row, init, finish },
    step: (state, event) => ({ n: state.n + event.count + event.user.length }),
  })
  fold('none', {
    ...{ from: events, key: ['user', 'page'], reads: ['count'], row, init, finish },
    // @ts-expect-error the fold does not read the amount
    step: (state, event, { key }) => ({ n: state.n + event.amount.length + key.page.length }),
  })
  assert.deepEqual([all.reads, some.reads], [undefined, ['count']])
})

test('wrong folds do not compile', () => {
  const step = (state: { n: number }) => state
  // @ts-expect-error no such field
  fold('x', { from: events, key: 'usr', row, init, step, finish })
  // @ts-expect-error no such field
  fold('x', { from: events, key: 'user', reads: ['pages'], row, init, step, finish })
  // @ts-expect-error a row has a number
  fold('x', { from: events, key: 'user', row, init, step, finish: () => ({ n: 'one' }) })
  // @ts-expect-error a state of another type
  fold('x', { from: events, key: 'user', row, init, step: () => ({ m: 1 }), finish })
  assert.ok(fold('x', { from: events, key: 'user', row, init, step, finish }))
})
