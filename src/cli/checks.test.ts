/** `refold checks` against a server that only remembers: what it asks, what it prints, its exit codes. */

import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { type ListeningFake, listenFake, runCommand } from './cli-fixture.ts'

let fake: ListeningFake | undefined
afterEach(() => fake?.close())

const result = { name: 'few', verdict: 'red', cut: 7, timeMs: 0, text: '1 row breaks it', rows: [{ n: 9 }] }
const green = { ...result, name: 'enough', verdict: 'green', text: 'it has 3 rows', rows: [] }
const info = { name: 'few', kind: 'nothing', sql: 'SELECT 1', cutover: true, running: false }

test('the list shows what each check last said; a red one is exit code 6', async () => {
  const checks = [
    { ...info, everyMs: 900_000, last: result },
    { ...info, name: 'new', last: null },
  ]
  fake = await listenFake(() => ({ body: JSON.stringify({ checks }) }))
  const { code, out, err } = await runCommand(['checks', '--url', fake.url])
  assert.deepEqual([code, err], [6, ''])
  assert.equal(
    out,
    [
      'check  verdict  cut  at                        runs                   says',
      '─────  ───────  ───  ────────────────────────  ─────────────────────  ─────────────────────────────────',
      'few    red        7  1970-01-01T00:00:00.000Z  at cutover, every 15m  1 row breaks it',
      'new    –          –  –                         at cutover             has not run over what answers now',
      '',
    ].join('\n'),
  )
  assert.deepEqual([fake.seen[0]?.method, fake.seen[0]?.path], ['GET', '/v1/checks'])
})

test('run sends names and versions, and shows the rows of what is red', async () => {
  fake = await listenFake(() => ({ body: JSON.stringify({ results: [green, result] }) }))
  const args = ['checks', 'run', 'enough', 'few', '--version', 'per_user=3f9', '--url', fake.url]
  const { code, out } = await runCommand(args)
  assert.equal(code, 6)
  assert.equal(out, 'green  enough  it has 3 rows\nred    few     1 row breaks it\n       {"n":9}\n')
  assert.deepEqual(JSON.parse(fake.seen[0]?.body ?? ''), {
    names: ['enough', 'few'],
    versions: { per_user: '3f9' },
  })
})

test('all green is exit code 0, and --json prints the answer', async () => {
  const body = JSON.stringify({ results: [green] })
  fake = await listenFake(() => ({ body }))
  assert.deepEqual(await runCommand(['checks', 'run', '--json', '--url', fake.url]), {
    ...{ code: 0, out: `${body}\n`, err: '' },
  })
})

test('wrong words are exit code 2', async () => {
  for (const args of [['rum'], ['run', '--version', 'x'], ['list', 'few'], ['--version', 'a=b']]) {
    const { code, err } = await runCommand(['checks', ...args, '--url', 'http://127.0.0.1:9'])
    assert.equal(code, 2, args.join(' '))
    assert.match(err, /CLI_USAGE/)
  }
})
