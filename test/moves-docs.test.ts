/** The page about moving views: its project is started, edited as it says, and its commands are run in order. */

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { runCommand } from '../src/cli/cli-fixture.ts'
import { exitCodes } from '../src/cli/exit-codes.ts'
import { ServerProcess } from './support/server-process.ts'
import { read } from './support/source-files.ts'

const page = read('docs/moves.md')

test('the commands of the page do what it says', async (t) => {
  const config = /```ts\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
  const server = await ServerProcess.create(config.replace(/\}\)\s*$/, '  server: { port: PORT },\n})\n'))
  t.after(() => server.dispose())
  await server.start()
  await server.post('orders', ['{"customer":"ann","cents":500}', '{"customer":"ann","cents":-200}'])
  const [, run = ''] = /give the view `(run: [^`]*)`/.exec(page) ?? []
  const file = join(server.folder, 'refold.config.ts')
  const edited = readFileSync(file, 'utf8')
    .replace('{ project,', '{ lambda, project,')
    .replace("customer' })]", `customer', ${run} })]`)
  writeFileSync(file, edited)
  const [, commands = ''] = /```sh\n([\s\S]*?)```/.exec(page) ?? []
  const outs: string[] = []
  for (const line of commands.trim().split('\n')) {
    const args = [...line.replace(/^refold /, '').matchAll(/"([^"]*)"|(\S+)/g)].map(
      ([, quoted, plain]) => quoted ?? plain ?? '',
    )
    const { code, out, err } = await runCommand([...args, '--url', server.url], { cwd: server.folder })
    assert.equal(code, 0, `${line}\n${err}`)
    outs.push(out)
    const { rows } = await server.get<{ rows: unknown[] }>('/v1/views/spent?after=1')
    assert.deepEqual(rows, [{ customer: 'ann', spent: 300 }])
  }
  assert.match(
    outs[0] ?? '',
    /it moves from kappa to lambda, a batch every 15 min\n\s+batch\s+the first one folds 2 events/,
  )
  assert.match(
    outs[2] ?? '',
    /runs as lambda, a batch every 15 min; before: kappa\n\s+1 rows equal, 0 changed/,
  )
  assert.match(outs[3] ?? '', /spent\s+lambda/)
  const after = await server.get<{ views: { run: { kind: string } }[] }>('/v1/status')
  assert.deepEqual(
    after.views.map((view) => view.run.kind),
    ['kappa'],
  )
})

test('the exit code that the page names is that of a held gate', () => {
  assert.match(page, new RegExp(`exit code ${exitCodes.red.code}\\b`))
})
