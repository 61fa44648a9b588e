/**
 * The reference of the HTTP API: its examples are run in order against a real server with the page's own project;
 * every route and parameter of the server is in it, and every error code it names exists. In an answer `"…"` stands
 * for any value, and as a name for any more fields.
 */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { errorTable } from '../src/model/errors.ts'
import { createHttpServer } from '../src/serve/http-server.ts'
import { createFakeCore } from './support/fake-core.ts'
import { ServerProcess } from './support/server-process.ts'
import { read } from './support/source-files.ts'

const page = read('docs/http-api.md')

test('each example gives the answer that stands under it', async (t) => {
  const config = /```ts\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
  const server = await ServerProcess.create(config.replace(/\}\)\s*$/, ', server: { port: PORT } })'))
  t.after(() => server.dispose())
  await server.start()
  const examples = [...page.matchAll(/```http\n([\s\S]*?)```\n\n```answer\n(\d+)\n([\s\S]*?)```/g)]
  assert.equal(examples.length, page.match(/```http\n/g)?.length, 'a request without an answer')
  assert.ok(examples.length >= 15)
  for (const [, request = '', status, expected = ''] of examples) {
    const [head = '', ...body] = request.split('\n\n')
    const [line = '', ...headers] = head.trim().split('\n')
    const [method = '', path = ''] = line.split(' ')
    const response = await fetch(server.url + path, {
      method,
      headers: headers.map((header) => header.split(': ') as [string, string]),
      ...(method === 'POST' ? { body: body.join('\n\n') } : {}),
    })
    const text = await response.text()
    assert.equal(response.status, Number(status), `${request}\n${text}`)
    const lines = response.headers.get('content-type')?.startsWith('application/x-ndjson')
    const documents = (all: string) =>
      (lines ? all.trim().split('\n') : [all]).map((each) => JSON.parse(each))
    const answers = documents(text)
    const wanted = documents(expected)
    assert.equal(answers.length, wanted.length, request)
    for (const [at, answer] of answers.entries())
      assert.deepEqual(masked(answer, wanted[at]), wanted[at], request)
  }
})

/** The answer with `…` wherever the page has it, and without the fields that the page leaves out. */
function masked(answer: unknown, page: unknown): unknown {
  if (page === '…' && answer !== undefined) return '…'
  if (Array.isArray(answer) && Array.isArray(page)) return answer.map((each, at) => masked(each, page[at]))
  if (typeof answer !== 'object' || answer === null || typeof page !== 'object' || page === null)
    return answer
  const wanted = page as Record<string, unknown>
  const shown = Object.entries(answer).filter(([name]) => !('…' in wanted) || name in wanted)
  return {
    ...Object.fromEntries(shown.map(([name, value]) => [name, masked(value, wanted[name])])),
    ...('…' in wanted ? { '…': '…' } : {}),
  }
}

test('every route and parameter of the server is in the page, and no other route', async (t) => {
  const server = await createHttpServer(createFakeCore(), { host: '127.0.0.1', port: 0 })
  t.after(() => server.close())
  const { paths } = (await (await fetch(`${server.url}/v1/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { parameters: { name: string; in: string }[] }>>
  }
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { parameters }]) => ({
      title: `${method.toUpperCase()} ${path}`,
      parameters,
    })),
  )
  const sections = new Map(
    page
      .split(/^### /m)
      .slice(1)
      .map((section) => [/^`([^`]+)`/.exec(section)?.[1] ?? '', section]),
  )
  assert.deepEqual([...sections.keys()].sort(), routes.map((route) => route.title).sort())
  for (const { title, parameters } of routes) {
    for (const { name, in: place } of parameters) {
      if (place !== 'path') assert.ok(sections.get(title)!.includes(name), `${title} does not name ${name}`)
    }
  }
})

test('every error code in the page exists', () => {
  const codes = page.match(/\b[A-Z]+(?:_[A-Z0-9]+)+\b/g) ?? []
  assert.deepEqual(
    codes.filter((code) => !(code in errorTable) && code !== 'REFOLD_TOKEN'),
    [],
  )
})
