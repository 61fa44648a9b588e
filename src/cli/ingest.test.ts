/**
 * A file goes into a log once, whatever fails on the way. The server here keeps a dedupe window in memory and fails
 * as real ones do: before the commit, after it, or with an answer that is lost.
 */

import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { type ListeningFake, listenFake, type Reply, runCommand, type SeenRequest } from './cli-fixture.ts'

type Failure = 'none' | 'busy' | 'cut before' | 'cut after' | 'full after' | 'stop'

interface FakeLog {
  readonly server: ListeningFake
  /** Canonical texts in the order of the log. */
  readonly events: string[]
  readonly failures: Failure[]
  stop: () => void
}

const schema = {
  kind: 'object',
  fields: [
    { name: 'id', type: { kind: 'string' }, optional: false, nullable: false },
    { name: 'n', type: { kind: 'integer', bits: 32 }, optional: false, nullable: false },
  ],
}

/** `window` is how many ids it remembers. */
async function fakeLog(
  context: TestContext,
  id: string | undefined,
  window = Number.POSITIVE_INFINITY,
): Promise<FakeLog> {
  const seen = new Map<string, string>()
  const events: string[] = []
  const failures: Failure[] = []
  const fake = { events, failures, stop: () => {} }
  const append = ({ body, headers }: SeenRequest): string => {
    const rejected: unknown[] = []
    let accepted = 0
    let duplicates = 0
    for (const [index, text] of body.split('\n').slice(0, -1).entries()) {
      const event = JSON.parse(text) as { id: string; n?: number }
      if (event.n === undefined) {
        rejected.push({ index, code: 'EVENT_FIELD_MISSING', reason: 'field "n" is missing', place: '/n' })
        continue
      }
      const key = id === undefined ? `${headers['idempotency-key']}#${index}` : event.id
      if (seen.has(key)) duplicates += 1
      else {
        accepted += 1
        seen.set(key, text)
        events.push(text)
        if (seen.size > window) seen.delete(seen.keys().next().value!)
      }
    }
    return JSON.stringify({ accepted, duplicates, rejected, cut: events.length })
  }
  const answer = (request: SeenRequest): Reply => {
    if (request.path === '/v1/streams') {
      return { body: JSON.stringify({ streams: [{ name: 's', partitions: 4, id: id ?? null, schema }] }) }
    }
    if (request.method === 'GET') {
      return {
        body:
          events.length === 0
            ? ''
            : `{"commit":1,"index":0,"time":"2026-01-01T00:00:00Z","event":${events[0]}}\n`,
      }
    }
    const failure = failures.shift() ?? 'none'
    const busy = { status: 429, headers: { 'retry-after': '0' }, body: errorBody('LOG_BUSY') }
    if (failure === 'cut before') return { body: '', cut: true }
    if (failure === 'busy') return busy
    const body = append(request)
    if (failure === 'cut after') return { body: '', cut: true }
    if (failure === 'full after') return { ...busy, status: 507 }
    if (failure === 'stop') fake.stop()
    return { body }
  }
  const server = await listenFake(answer)
  context.after(() => server.close())
  return Object.assign(fake, { server })
}

function errorBody(code: string): string {
  return JSON.stringify({ error: { code, message: 'not now', hint: 'wait', retryable: true } })
}

async function eventFile(count: number, from = 0): Promise<{ path: string; lines: string[] }> {
  const path = join(await mkdtemp(join(tmpdir(), 'refold-ingest-')), 'events.ndjson')
  const lines = Array.from({ length: count }, (_, index) =>
    JSON.stringify({ id: `e${from + index}`, n: index % 7 }),
  )
  await writeFile(path, `${lines.join('\n')}\n`)
  return { path, lines }
}

function ingest(log: FakeLog, path: string, ...more: string[]) {
  const args = ['ingest', path, '--stream', 's', '--url', log.server.url, '--json', ...more]
  return runCommand(args, { onStart: (stop) => Object.assign(log, { stop }) })
}

test('a file is sent once and in order, whatever fails and however often it is stopped', async (t) => {
  const failure = fc.constantFrom<Failure>('none', 'busy', 'cut before', 'cut after', 'full after', 'stop')
  await fc.assert(
    fc.asyncProperty(
      fc.array(failure, { maxLength: 12 }),
      fc.boolean(),
      fc.integer({ min: 1, max: 9 }),
      async (failures, withId, batch) => {
        // The window is far smaller than the file: what was acknowledged long ago must not be sent again.
        const log = await fakeLog(t, withId ? 'id' : undefined, 3 * batch)
        const { path, lines } = await eventFile(40)
        log.failures.push(...failures)
        try {
          let runs = 0
          for (let code = -1; code !== 0; runs += 1) {
            assert.ok(runs < 20, 'it ends')
            // Without patience, so that a lost answer ends the run and the next one goes on.
            ;({ code } = await ingest(log, path, '--batch', String(batch), '--patience', '0'))
            assert.ok([0, 1, 4, 130].includes(code), `exit code ${code}`)
          }
          assert.deepEqual(log.events, lines)
          await ingest(log, path)
          assert.deepEqual(log.events, lines, 'running it once more sends nothing')
        } finally {
          await log.server.close()
          await rm(path, { force: true })
        }
      },
    ),
    { numRuns: 25 },
  )
})

test('a file that grew is gone on with, also when its last batch was never acknowledged', async (t) => {
  for (const failures of [['none', 'none'], ['none', 'cut after'], ['cut after']] as const) {
    const log = await fakeLog(t, undefined)
    const { path, lines } = await eventFile(failures.length === 1 ? 3 : 7)
    log.failures.push(...failures)
    await ingest(log, path, '--batch', '5', '--patience', '0')
    const more = [...lines, '{"id":"later","n":1}', '{"id":"latest","n":2}']
    await writeFile(path, `${more.join('\n')}\n`)
    assert.equal((await ingest(log, path)).code, 0)
    assert.deepEqual(log.events, more)
  }
})

test('within one run it waits for a server that is busy, full or gone for a moment', async (t) => {
  const log = await fakeLog(t, undefined)
  const { path, lines } = await eventFile(6)
  log.failures.push('busy', 'cut after', 'none', 'full after')
  const { code, out } = await ingest(log, path, '--batch', '3')
  assert.equal(code, 0)
  assert.deepEqual(log.events, lines)
  assert.deepEqual(JSON.parse(out).total, { accepted: 0, duplicates: 6, rejected: 0 })
})

test('rejected events are told by code with the lines they stand on, and make exit code 3', async (t) => {
  const log = await fakeLog(t, 'id')
  const { path, lines } = await eventFile(3)
  await writeFile(path, `${lines[0]}\n\n{"id":"bad"}\n${lines[1]}\n{"id":"worse"}\n`)
  const { code, err } = await runCommand(['ingest', path, '--stream', 's', '--url', log.server.url])
  assert.equal(code, 3)
  assert.match(err, /accepted 2 · duplicates 0 · rejected 2 · cut 2/)
  assert.match(err, /2 × EVENT_FIELD_MISSING/)
  assert.ok(err.includes(`${path}:3 /n: field "n" is missing`) && err.includes(`${path}:5 /n`), err)
})

test('another file under the same name, or another log behind the same URL, is refused until --restart', async (t) => {
  const log = await fakeLog(t, 'id')
  const { path } = await eventFile(4)
  assert.equal((await ingest(log, path)).code, 0)
  const other = await eventFile(4, 100)
  await writeFile(path, await readFile(other.path))
  const refused = await ingest(log, path)
  assert.equal(refused.code, 1)
  assert.equal(JSON.parse(refused.err).error.code, 'CLI_FILE_CHANGED')
  assert.equal((await ingest(log, path, '--restart')).code, 0)
  assert.equal(log.events.length, 8)
  const emptied = await fakeLog(t, 'id')
  assert.equal(JSON.parse((await ingest(emptied, path)).err).error.code, 'CLI_FILE_CHANGED')
  assert.equal((await ingest(emptied, path, '--restart')).code, 0)
  assert.deepEqual(emptied.events, other.lines)
})

test('events from stdin', async (t) => {
  const log = await fakeLog(t, undefined)
  const args = ['ingest', '-', '--stream', 's', '--url', log.server.url, '--json']
  const { code, out } = await runCommand(args, { stdin: '{"id":"a","n":1}\n{"id":"b","n":2}' })
  assert.equal(code, 0)
  assert.equal(JSON.parse(out).total.accepted, 2)
  assert.equal(log.events.length, 2)
})

test('a wrong stream names the nearest; nobody listening is exit code 4', async (t) => {
  const log = await fakeLog(t, 'id')
  const { path } = await eventFile(1)
  const wrong = await runCommand(['ingest', path, '--stream', 'ss', '--url', log.server.url])
  assert.equal(wrong.code, 1)
  assert.match(wrong.err, /Did you mean "s"\?/)
  await log.server.close()
  const gone = await runCommand(['ingest', path, '--stream', 's', '--url', log.server.url])
  assert.equal(gone.code, 4)
})

test('equal lines are events of their own where the stream has no id; the same file again is not', async (t) => {
  const log = await fakeLog(t, undefined)
  const { path } = await eventFile(0)
  const lines = Array.from({ length: 20 }, () => '{"id":"same","n":1}')
  await writeFile(path, lines.join('\n'))
  assert.equal((await ingest(log, path, '--batch', '5')).code, 0)
  assert.deepEqual(log.events, lines)
  await ingest(log, path, '--batch', '5', '--restart')
  assert.equal(log.events.length, 20)
})
