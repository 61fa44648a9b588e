/** The page about serving two layers: its project is started, and its commands are run in order and do what it says. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runCommand } from '../../src/cli/cli-fixture.ts'
import { errorTable } from '../../src/model/errors.ts'
import { ServerProcess } from '../support/server-process.ts'
import { read } from '../support/source-files.ts'

const page = read('docs/lambda-serving.md')

test('the commands of the page do what it says', async (t) => {
  const config = /```ts\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
  const server = await ServerProcess.create(config.replace(/\}\)\s*$/, ', server: { port: PORT } })'))
  t.after(() => server.dispose())
  await server.start()
  const refold = async (line: string) => {
    const args = [...line.replace(/^refold /, '').matchAll(/"([^"]*)"|(\S+)/g)].map(
      ([, quoted, plain]) => quoted ?? plain ?? '',
    )
    return await runCommand([...args, '--url', server.url], { cwd: server.folder })
  }
  await server.post('sales', ['{"shop":"a","amount":"1.50"}', '{"shop":"b","amount":"2.00"}'])
  await server.get('/v1/views/revenue?after=1')
  const [, commands = ''] = /```sh\n([\s\S]*?)```/.exec(page) ?? []
  const said: string[] = []
  for (const [index, line] of commands.trim().split('\n').entries()) {
    const { code, out, err } = await refold(line)
    assert.equal(code, 0, `${line}\n${out}\n${err}`)
    said.push(`${out}\n${err}`)
    if (index === 0) {
      const { body } = await server.post('sales', ['{"shop":"a","amount":"0.25"}'])
      await server.get(`/v1/views/revenue?after=${body.cut}`)
    }
  }
  const [, both = '', layers = '', speed = '', divergence = '', held = '', stale = '', resumed = ''] = said
  assert.match(both, /1\.75[\s\S]*revenue: batch up to cut 1, .* old; speed layer of/)
  assert.match(layers, /1\.50[\s\S]*0\.25/)
  assert.ok(/0\.25/.test(speed) && !/2\.00/.test(speed))
  assert.match(divergence, /batch 1 +cut 1 .*2 rows: nothing differs/)
  assert.match(held, /view revenue, version [0-9a-f]{12}, is paused; it answers from its last batch/)
  assert.match(
    stale,
    /1\.50[\s\S]*revenue is stale: its last batch, up to cut 1: its numbers are looked into/,
  )
  assert.match(resumed, /view revenue, .* goes on; it was paused at .*: its numbers are looked into/)
  const { rows, batch } = await server.get<{
    rows: { total: string }[]
    batch: { cut: number; stale?: string }
  }>('/v1/views/revenue?after=2&order=shop')
  assert.deepEqual([rows[0]?.total, batch.cut, batch.stale], ['1.75', 1, undefined])
  const lines = await server.lines<{ batch: number; new: { shop: string } }>('/v1/views/revenue/changes')
  assert.deepEqual(lines.map((line) => [line.batch, line.new.shop]).sort(), [
    [1, 'a'],
    [1, 'b'],
  ])
  const listed = await server.get<{ views: { layers: string[] }[] }>('/v1/views')
  assert.deepEqual(listed.views[0]?.layers, ['batch.revenue', 'speed.revenue'])
  assert.match(
    (await refold('refold explain revenue')).out,
    /batch up to cut 1[\s\S]*batch\.revenue, speed\.revenue/,
  )
  const paused = await refold('refold pause revenue --reason "a test"')
  assert.equal(paused.code, 0, paused.err)
  const status = await refold('refold status')
  assert.match(status.out, /alarm {2}view revenue: view paused: a test/)
  assert.equal(status.code, 3)
  type OpenApi = { components: { schemas: { Batch?: { required: string[] } } } }
  const openApi = await server.get<OpenApi>('/v1/openapi.json')
  assert.deepEqual(openApi.components.schemas.Batch?.required, ['cut', 'at', 'ageMs', 'spanMs'])
})

test('every error code of the page exists', () => {
  for (const [code] of page.matchAll(/\b[A-Z]+(?:_[A-Z]+)+\b/g)) assert.ok(code in errorTable, code)
})
