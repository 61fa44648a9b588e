/** The guide to changing schemas: its two projects are loaded, run one after the other, and do what the page says. */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadProject } from '../src/define/load.ts'
import { errorTable } from '../src/model/errors.ts'
import { openServer } from '../src/server/open-server.ts'
import { read } from './support/source-files.ts'

const page = read('docs/schemas.md')

test('the page’s second project takes over from its first', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'refold-schemas-docs-'))
  const blocks = [...page.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code = '']) => code)
  assert.equal(blocks.length, 2)
  const load = async (code: string) => {
    writeFileSync(join(folder, 'refold.config.ts'), code.replace(/\}\)\s*$/, 'server: { port: 0 } })'))
    const loaded = await loadProject(folder)
    assert.ok(loaded.ok, JSON.stringify(loaded))
    return loaded.project
  }
  const server = await openServer(await load(blocks[0] ?? ''))
  t.after(async () => {
    await server.close()
    rmSync(folder, { recursive: true, force: true })
  })
  const send = async (...events: object[]) => {
    const body = events.map((event) => JSON.stringify(event)).join('\n')
    const headers = { 'content-type': 'application/x-ndjson' }
    const url = `${server.http!.url}/v1/streams/orders/events`
    return (await (await fetch(url, { method: 'POST', headers, body })).json()) as {
      accepted: number
      duplicates: number
      cut: number
      rejected: { code: string }[]
    }
  }
  const old = (id: string, amount: number) => ({ id, user: 'ann', amount, address: { zip: '1' } })
  assert.equal((await send(old('1', 5))).accepted, 1)
  await server.reload(await load(blocks[1] ?? ''))
  const { accepted, cut } = await send(old('2', 7), {
    ...{ id: '3', customer: 'ann', amount: '0.25', address: { postcode: '1' } },
  })
  assert.equal(accepted, 2)
  const answer = await server.core.sql(
    {
      sql: 'SELECT c.*, o.* FROM per_customer c, (SELECT min(currency) AS currency FROM orders) o',
      limit: 10,
    },
    { after: cut },
  )
  assert.deepEqual(JSON.parse(answer.json), [{ customer: 'ann', total: '12.25', currency: 'EUR' }])
  const again = await send(
    old('1', 5),
    { id: '1', customer: 'ann', amount: '5.00', address: { postcode: '1' } },
    { id: '1', customer: 'ann', amount: '5.00', address: { postcode: '1' }, currency: 'CHF' },
    old('1', 6),
    { ...old('4', 1), customer: 'bob' },
  )
  assert.equal(again.duplicates, 2)
  const codes = again.rejected.map(({ code }) => code).sort()
  assert.deepEqual(codes, ['EVENT_FIELD_TWICE', 'EVENT_ID_CONFLICT', 'EVENT_ID_CONFLICT'])
})

test('every error code in the page exists', () => {
  const codes = page.match(/\b[A-Z]+(?:_[A-Z0-9]+)+\b/g) ?? []
  assert.deepEqual(
    codes.filter((code) => !(code in errorTable)),
    [],
  )
})
