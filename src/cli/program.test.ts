/** The command line as a whole: help, mistakes in typing, exit codes, and where output goes. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runCommand } from './cli-fixture.ts'

const commands = [
  'init',
  'dev',
  'start',
  'ingest',
  'query',
  'tail',
  'status',
  'explain',
  'checks',
  'compare',
  'why',
  'lake',
  'backup',
  'restore',
]

test('every command has a help with --json and two examples of itself', async () => {
  for (const name of commands) {
    const { code, out, err } = await runCommand([name, '--help'])
    assert.equal(code, 0)
    assert.equal(err, '')
    assert.match(out, / --json /, name)
    const examples = out.split('Examples:')[1]?.match(/^ {2}\$ .+$/gm) ?? []
    assert.ok(examples.length >= 2, `${name} has ${examples.length} examples`)
    for (const example of examples) assert.match(example, new RegExp(`refold ${name}\\b`))
  }
})

test('help and version are data, and no failure', async () => {
  for (const args of [[], ['--help'], ['help'], ['help', 'query'], ['--version']]) {
    const { code, out, err } = await runCommand(args)
    assert.deepEqual([code, err], [0, ''], args.join(' '))
    assert.notEqual(out, '')
  }
})

test('a word that is nearly a command names it, on stderr, with exit code 2', async () => {
  const { code, out, err } = await runCommand(['quey'])
  assert.equal(code, 2)
  assert.equal(out, '')
  assert.match(err, /Did you mean query\?/)
})

test('wrong options and missing arguments are exit code 2', async () => {
  for (const args of [
    ['query', '--lmit', '3'],
    ['tail'],
    ['ingest', 'f'],
    ['query', 'SELECT 1', '--limit', 'x'],
    ['status', '--url', 'ftp://x'],
  ]) {
    const { code, err } = await runCommand(args)
    assert.equal(code, 2, args.join(' '))
    assert.notEqual(err, '')
  }
})

test('no server is exit code 4, in words or as JSON', async () => {
  const url = 'http://127.0.0.1:9'
  for (const args of [['query', 'SELECT 1'], ['tail', 'v'], ['status'], ['explain', 'v']]) {
    const { code, out, err } = await runCommand([...args, '--url', url])
    assert.deepEqual([code, out], [4, ''])
    assert.match(err, /no server answers at "http:\/\/127\.0\.0\.1:9".*CLI_UNREACHABLE/)
    const json = await runCommand([...args, '--url', url, '--json'])
    assert.equal((JSON.parse(json.err) as { error: { code: string } }).error.code, 'CLI_UNREACHABLE')
  }
})

test('colours are for terminals', async () => {
  const plain = await runCommand(['status', '--url', 'http://127.0.0.1:9'])
  const terminal = await runCommand(['status', '--url', 'http://127.0.0.1:9'], { columns: 80 })
  const quiet = await runCommand(['status', '--url', 'http://127.0.0.1:9'], {
    columns: 80,
    env: { NO_COLOR: '1' },
  })
  const colour = '\u001b[3'
  assert.deepEqual(
    [plain, terminal, quiet].map(({ err }) => err.includes(colour)),
    [false, true, false],
  )
})
