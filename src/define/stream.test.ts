/** Wrong builder calls do not compile, and the types of events come out right: the compiler checks this file. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { decimal, int64 } from './exact.ts'
import { project } from './project.ts'
import { kappa } from './run.ts'
import type { EventInputOf, EventOf } from './spec.ts'
import { stream } from './stream.ts'
import { view } from './view.ts'

const schema = z.object({
  event_id: z.string(),
  user_id: z.string().optional(),
  revenue: decimal(18, 2).default('0'),
  count: int64(),
  ts: z.iso.datetime(),
})
const events = stream('events', { schema, id: 'event_id', key: 'user_id', time: 'ts', partitions: 8 })

test('a stream keeps its name and the types of its events', () => {
  const name: 'events' = events.name
  const read: EventOf<typeof events> = { event_id: 'e', revenue: '1', count: '2', ts: '2026-01-01T00:00:00Z' }
  const sent: EventInputOf<typeof events> = { event_id: 'e', count: 2, ts: '2026-01-01T00:00:00Z' }
  // @ts-expect-error a decimal reads as a text
  const wrong: EventOf<typeof events> = { event_id: 'e', revenue: 1, count: 2, ts: '' }
  assert.deepEqual([name, read.revenue, sent.count, wrong.count], ['events', '1', 2, 2])
})

test('wrong calls do not compile', () => {
  // @ts-expect-error no such field
  stream('x', { schema, id: 'evnt_id' })
  // @ts-expect-error an id must always be there
  stream('x', { schema, id: 'user_id' })
  // @ts-expect-error no such field
  stream('x', { schema, key: 'usr_id' })
  // @ts-expect-error not a timestamp
  stream('x', { schema, time: 'event_id' })
  // @ts-expect-error not an object
  stream('x', { schema: z.string() })
  // @ts-expect-error a view is no stream
  project({ streams: [view('v', { sql: 'SELECT 1' })] })
  // @ts-expect-error no such unit
  project({ streams: [events], seal: { age: '1 fortnight' } })
  assert.ok(
    project({
      streams: [events],
      views: [view('v', { sql: 'SELECT 1', run: kappa() })],
      seal: { age: '2m' },
    }),
  )
})
