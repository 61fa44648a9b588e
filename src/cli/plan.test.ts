/** `refold plan` against a server that only remembers: what is sent, what is shown, what the shell is told. */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { DeployPlan } from '../deploy/types.ts'
import { listenFake, type Reply, runCommand } from './cli-fixture.ts'

let folder = ''
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'refold-cli-plan-'))
  writeFileSync(
    join(folder, 'refold.config.ts'),
    `import { project, stream, view } from 'refold'
import { z } from 'zod'
const events = stream('events', { schema: z.object({ id: z.string() }) })
export default project({
  streams: [events],
  views: [view('ids', { sql: 'SELECT count(*) AS n FROM events' })],
  server: { token: 'secret-token' },
})
`,
  )
})
after(() => rmSync(folder, { recursive: true, force: true }))

const nothing: DeployPlan = { cut: 3, streams: [], views: [], empty: true }
const something: DeployPlan = {
  cut: 3,
  empty: false,
  streams: [{ stream: 'events', change: 'changed', reasons: [{ what: 'schema', text: 'field "x" is new' }] }],
  views: [
    {
      ...{ view: 'ids', change: 'changed', from: 'a'.repeat(64), to: 'b'.repeat(64) },
      reasons: [{ what: 'sql', text: 'WHERE "x" is new' }],
      estimate: {
        ...{ events: 3_000_000, bytes: 120_000_000, reusedEvents: 1000, diskBytes: 5_000_000 },
        seconds: { low: 0.5, likely: 2, high: 75 },
        ...{ foldRate: 2_000_000, inputRate: 1200, catchesUp: true, basis: 'default' },
      },
      trimmed: { cut: 2, events: 10 },
    },
    { view: 'old', change: 'removed', from: 'c'.repeat(64), reasons: [{ what: 'setting', text: 'gone' }] },
  ],
}

async function plan(reply: Reply | DeployPlan, ...args: string[]) {
  const server = await listenFake(() => ('body' in reply ? reply : { body: JSON.stringify(reply) }))
  const ran = await runCommand(['plan', '--url', server.url, ...args], { cwd: folder })
  await server.close()
  return { ...ran, seen: server.seen }
}

test('the project is sent as it was loaded, without the token', async () => {
  const { seen, code, out } = await plan(nothing, '--exit-code')
  assert.equal(code, 0)
  assert.equal(out, 'Nothing to do: what runs is what the project says.\n')
  assert.equal(seen[0]?.path, '/v1/plan')
  assert.ok(!seen[0].body.includes('secret-token'))
  const { project } = JSON.parse(seen[0].body) as { project: { views: { name: string }[] } }
  assert.deepEqual(
    project.views.map(({ name }) => name),
    ['ids'],
  )
})

test('changes are shown with reasons and costs', async () => {
  const { out, code } = await plan(something)
  assert.equal(code, 0)
  for (const part of [
    '~ stream events',
    'schema  field "x" is new',
    '~ view ids  aaaaaaaaaaaa → bbbbbbbbbbbb',
    'folds 3,000,000 events (120 MB), 1,000 are folded already; 0.5 s to 75 s, likely 2.0 s, about 5.0 MB on disk',
    'it catches up',
    '10 events up to cut 2 are no longer in the log',
    '- view old',
    '1 stream and 2 views change. `refold deploy` carries it out.',
  ])
    assert.ok(out.includes(part), `${part}\n\n${out}`)
})

test('--exit-code says whether there is something to deploy, --json is the plan itself', async () => {
  const { out, code } = await plan(something, '--exit-code', '--json')
  assert.equal(code, 5)
  assert.deepEqual(JSON.parse(out), something)
})

test('mistakes that the server finds are shown like those found here', async () => {
  const mistake = {
    code: 'STREAM_CHANGED',
    message: 'stream "events": it broke',
    hint: 'Mend it.',
    retryable: false,
  }
  const details = { mistakes: [mistake] }
  const error = { code: 'PROJECT_REFUSED', message: 'mistakes', hint: 'h', retryable: false, details }
  const { err, code } = await plan({ status: 422, body: JSON.stringify({ error }) })
  assert.equal(code, 2)
  assert.match(err, /it broke/)
  assert.match(err, /Mend it/)
})
