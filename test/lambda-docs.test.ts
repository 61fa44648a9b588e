/** The page about batches and snapshots: its project is started, and its commands are run in order. */

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { runCommand } from '../src/cli/cli-fixture.ts'
import { loadProject } from '../src/define/load.ts'
import { batchErrors } from '../src/model/batch-errors.ts'
import { ServerProcess } from './support/server-process.ts'
import { read } from './support/source-files.ts'

const page = read('docs/lambda.md')
const [, config = ''] = /```ts\n([\s\S]*?)```/.exec(page) ?? []

test('the commands of the page do what it says', async (t) => {
  const server = await ServerProcess.create(config.replace(/\}\)\s*$/, '  server: { port: PORT },\n})\n'))
  t.after(() => server.dispose())
  await server.start()
  await server.post('orders', ['{"customer":"ann","cents":500}', '{"customer":"bob","cents":-200}'])
  const [, commands = ''] = /```sh\n([\s\S]*?)```/.exec(page) ?? []
  const outs: string[] = []
  for (const line of commands.trim().split('\n')) {
    const args = [...line.replace(/^refold /, '').matchAll(/"([^"]*)"|(\S+)/g)].map(
      ([, quoted, plain]) => quoted ?? plain ?? '',
    )
    const { code, out, err } = await runCommand([...args, '--url', server.url], { cwd: server.folder })
    assert.equal(code, 0, `${line}\n${err}`)
    outs.push(out)
  }
  assert.match(outs[0] ?? '', /batch 1 of view spent is published at cut 1: 2 events, 0 rows differed/)
  assert.match(outs[1] ?? '', /published/)
  assert.match(outs[2] ?? '', /published\s+1\s+2\s+.*"offsets":\{"orders":\[/)
  assert.match(outs[3] ?? '', /ann\s+500[\s\S]*bob\s+-200/)
  const { batches } = await server.get<{ batches: { state: string; cut: number }[] }>(
    '/v1/views/spent/batches',
  )
  assert.deepEqual(
    batches.map(({ state, cut }) => [state, cut]),
    [['published', 1]],
  )
  const metrics = await (await fetch(`${server.url}/metrics`)).text()
  for (const [name] of page.matchAll(/refold_batch\w+/g)) assert.ok(metrics.includes(name), name)
})

test('every way to run that the page names can be written so', async (t) => {
  const server = await ServerProcess.create(config)
  t.after(() => server.dispose())
  const ways = [...page.matchAll(/`((?:lambda|hybrid)\(\{ [^…]*? \}\))`/g)].map(([, way]) => way ?? '')
  const options = [...page.matchAll(/^\| `((?:every|cron|afterEvents): [^`]*)`/gm)]
  assert.ok(ways.length >= 2 && options.length === 3)
  const names = ['lambda', 'hybrid', 'project', 'stream', 'view'].join(', ')
  for (const way of [...ways, ...options.map(([, option]) => `lambda({ ${option} })`)]) {
    const text = config.replace('{ lambda, project, stream, view }', `{ ${names} }`)
    writeFileSync(join(server.folder, 'refold.config.ts'), text.replace("lambda({ every: '15m' })", way))
    const loaded = await loadProject(join(server.folder, 'refold.config.ts'))
    assert.ok(loaded.ok, `${way}: ${loaded.ok ? '' : loaded.mistakes[0]?.message}`)
  }
})

test('the errors that the page names exist', () => {
  for (const [, code] of page.matchAll(/`((?:BATCH|LAKE)_[A-Z]+)`/g)) assert.ok((code ?? '') in batchErrors)
})
