/** The page about deploys: its project is started, edited as it says, and its commands are run in order. */

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { runCommand } from '../src/cli/cli-fixture.ts'
import { buildProgram } from '../src/cli/program.ts'
import { SHADOWS_MAX } from '../src/server/deploys/deploys.ts'
import { WARM_MAX } from '../src/server/deploys/warm-versions.ts'
import { ServerProcess } from './support/server-process.ts'
import { read } from './support/source-files.ts'

const page = read('docs/deploy.md')

test('the commands of the page do what it says', async (t) => {
  const config = /```ts\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
  const server = await ServerProcess.create(config.replace(/\}\)\s*$/, '  server: { port: PORT },\n})\n'))
  t.after(() => server.dispose())
  await server.start()
  await server.post('orders', ['{"customer":"ann","cents":500}', '{"customer":"ann","cents":-200}'])
  const spent = async () => {
    const { rows } = await server.get<{ rows: { spent: number }[] }>('/v1/views/spent?after=1')
    return Number(rows[0]?.spent)
  }
  assert.equal(await spent(), 300)
  const [, edit = ''] = /Edit the SQL, say to `([^`]*)`/.exec(page) ?? []
  const file = join(server.folder, 'refold.config.ts')
  writeFileSync(file, readFileSync(file, 'utf8').replace('sum(cents)', edit))
  const [, commands = ''] = /```sh\n([\s\S]*?)```/.exec(page) ?? []
  const seen: number[] = []
  for (const line of commands.trim().split('\n')) {
    const args = [...line.replace(/^refold /, '').matchAll(/"([^"]*)"|(\S+)/g)].map(
      ([, quoted, plain]) => quoted ?? plain ?? '',
    )
    const { code, err } = await runCommand([...args, '--url', server.url], { cwd: server.folder })
    assert.equal(code, 0, `${line}\n${err}`)
    seen.push(await spent())
  }
  assert.deepEqual(seen, [300, 500, 500, 300, 300])
})

test('the options that the page names exist, and its numbers are those of the source', () => {
  const terminal = { dataStyle: { bold: String }, talkStyle: { red: String } }
  const program = buildProgram({ terminal } as unknown as Parameters<typeof buildProgram>[0])
  const known = new Set(program.commands.flatMap((command) => command.options.map((option) => option.long)))
  for (const [, option] of page.matchAll(/`?(--[a-z-]+)/g)) assert.ok(known.has(option ?? ''), option)
  assert.match(page, new RegExp(`at most ${WARM_MAX} are kept`))
  assert.match(page, new RegExp(`At most ${SHADOWS_MAX} deploys stay so`))
})
