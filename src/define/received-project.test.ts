/** What a server accepts of a project that was sent to it, and how it names what is wrong. */

import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { z } from 'zod'
import { RefoldError } from '../model/errors.ts'
import { decimal, int64 } from './exact.ts'
import { project } from './project.ts'
import { receivedProject } from './received-project.ts'
import { resolveProject } from './resolve-project.ts'
import { stream } from './stream.ts'
import type { ProjectDef } from './types.ts'
import { view } from './view.ts'

const everything = z.object({
  id: z.string().min(1).max(9).regex(/^x/),
  kind: z.enum(['a', 'b']).default('a'),
  url: z.url().optional(),
  n: z.int32(),
  big: int64().nullable(),
  price: decimal(18, 2).default('0'),
  rate: z.number().gt(0),
  at: z.iso.datetime({ offset: true }),
  day: z.iso.date().optional(),
  uuid: z.uuid().optional(),
  yes: z.boolean(),
  items: z.array(z.object({ sku: z.string(), left: z.int().default(3) })),
  more: z.record(z.string(), z.number()),
  any: z.json().optional(),
})

function local(): ProjectDef {
  const events = stream('events', {
    schema: everything,
    id: 'id',
    time: 'at',
    lateness: '1m',
    retention: { hot: '1h', lake: '30d' },
  })
  const per = view('per_kind', { sql: 'SELECT kind, count(*) AS n FROM events GROUP BY kind' })
  const root = path.resolve('/srv/shop')
  const file = path.join(root, 'refold.config.ts')
  const exported = project({ streams: [events], views: [per], data: 'mine', server: { port: 1 } })
  const resolved = resolveProject({ file, root, exported, sqlFiles: [] })
  assert.ok(resolved.ok, JSON.stringify(resolved))
  return resolved.project
}

// biome-ignore lint/suspicious/noExplicitAny: the tests break what was sent at any depth
type Sent = any

function sent(change: (project: Sent) => void = () => {}): unknown {
  const copy = JSON.parse(JSON.stringify(local())) as Sent
  change(copy)
  return copy
}

function refusal(value: unknown): string {
  try {
    receivedProject(value, local())
  } catch (error) {
    assert.ok(error instanceof RefoldError)
    assert.equal(error.code, 'PROJECT_RECEIVED')
    return error.message.replace('what was sent is not a project as Refold loads it: ', '')
  }
  return assert.fail('it was accepted')
}

test('what was loaded comes through whole, but for what is the receiver’s own', () => {
  const own = { ...local(), root: '/other', dataDir: '/other/data', server: { host: 'here', port: 7 } }
  const received = receivedProject(sent(), own)
  const { root, file, dataDir, server, engine } = own
  assert.deepEqual(received, { ...local(), root, file, dataDir, server, engine })
  // the catalog compares streams as text, so their keys keep their order
  assert.equal(JSON.stringify(received.streams), JSON.stringify(local().streams))
})

const faults: readonly (readonly [string, (project: Sent) => void, RegExp])[] = [
  ['an unknown key', (p) => (p.streams[0].colour = 'red'), /^streams\[0\]: Unrecognized key: "colour"/],
  ['a path as a name', (p) => (p.streams[0].name = '../../etc'), /stream "..\/..\/etc" has a name/],
  ['a view’s path as a name', (p) => (p.views[0].name = 'a/b'), /view "a\/b" has a name/],
  ['a stream twice', (p) => p.streams.push(p.streams[0]), /already is a stream/],
  [
    'SQL as a precision',
    (p) => (p.streams[0].schema.fields[5].type.precision = '1); DROP'),
    /^streams\[0\]\.schema\.fields\[5\]\.type\.precision: /,
  ],
  ['a scale above the precision', (p) => (p.streams[0].schema.fields[5].type.scale = 20), /scale is larger/],
  ['an unknown kind', (p) => (p.streams[0].schema.fields[0].type.kind = 'blob'), /fields\[0\]\.type/],
  ['a default of another type', (p) => (p.streams[0].schema.fields[5].defaultValue = [1]), /the default/],
  [
    'a default within',
    (p) => (p.streams[0].schema.fields[11].type.element.fields[1].defaultValue = {}),
    /the default/,
  ],
  ['a name of the system', (p) => (p.streams[0].schema.fields[0].name = '_offset'), /fields\[0\]\.name/],
  ['a field twice', (p) => (p.streams[0].schema.fields[1].name = 'ID'), /has the name "ID" twice/],
  ['an id that is not there', (p) => (p.streams[0].id = 'gone'), /id "gone" is not a field/],
  ['an id that may be null', (p) => (p.streams[0].id = 'big'), /id "big" may be missing/],
  ['too many partitions', (p) => (p.streams[0].partitions = 1e9), /partitions/],
  ['a number that is none', (p) => (p.streams[0].latenessMs = -1), /latenessMs/],
  [
    'a pattern that is none',
    (p) => (p.streams[0].schema.fields[0].type.patterns = ['(']),
    /regular expression/,
  ],
  ['no SQL', (p) => (p.views[0].sql = ''), /^views\[0\]\.sql/],
  ['no streams', (p) => delete p.streams, /^streams/],
]
for (const [what, change, message] of faults) {
  test(`${what} is refused`, () => assert.match(refusal(sent(change)), message))
}

test('other things than projects are refused', () => {
  for (const value of [undefined, null, 3, 'x', [], {}]) assert.match(refusal(value), /./)
  let deep: unknown = {}
  for (let level = 0; level < 100_000; level++) deep = { type: deep }
  assert.match(refusal({ ...(sent() as object), views: deep }), /nested deeper/)
})

test('all faults come at once', () => {
  const message = refusal(
    sent((p) => {
      p.streams[0].partitions = 0
      p.views[0].onError = 'ignore'
    }),
  )
  assert.match(message, /streams\[0\]\.partitions: .*; views\[0\]\.onError: /)
})
