/** The project of `docs/compare.md`: its rule takes what it is meant to take once the view is changed as it says. */

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { runCommand } from '../src/cli/cli-fixture.ts'
import { loadProject } from '../src/define/load.ts'
import { openServer } from '../src/server/open-server.ts'
import { read } from './support/source-files.ts'

test("the guide's rule expects what it says, and its commands answer", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'refold-compare-docs-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const page = read('docs/compare.md')
  const snippet = /```ts\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
  const load = async (text: string) => {
    writeFileSync(join(folder, 'refold.config.ts'), text.replace(/\}\)\s*$/, ', server: { port: 0 } })'))
    const loaded = await loadProject(folder)
    assert.ok(loaded.ok, JSON.stringify(loaded))
    return loaded.project
  }
  const server = await openServer(await load(snippet))
  t.after(() => server.close())
  const { url } = server.http!
  const send = async (
    ...sales: readonly (readonly [id: string, country: string, amount: string, at: string])[]
  ) => {
    const body = sales
      .map(([id, country, amount, at]) => JSON.stringify({ id, country, amount, at }))
      .join('\n')
    const headers = { 'content-type': 'application/x-ndjson' }
    const answer = await fetch(`${url}/v1/streams/sales/events`, { method: 'POST', headers, body })
    const { cut } = (await answer.json()) as { cut: number }
    return (await (await fetch(`${url}/v1/views/per_country?after=${cut}`)).json()) as { at: string }
  }
  const before = await send(
    ['1', 'NL', '10.00', '2026-01-31T08:00:00Z'],
    ['2', 'JP', '500.00', '2026-01-31T08:05:00Z'],
  )
  await send(['3', 'JP', '100.00', '2026-01-31T08:03:00Z'], ['4', 'NL', '5.00', '2026-01-31T08:30:00Z'])
  const change = `sum(CASE country WHEN 'JP' THEN amount / 100 ELSE amount END)::DECIMAL(18,2)`
  await server.reload(await load(snippet.replace('sum(amount)', change)))

  const refold = (...args: readonly string[]) => runCommand([...args, '--url', url])
  const versions = await fetch(`${url}/v1/sql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ sql: 'SELECT version, state FROM refold.versions' }),
  })
  const { rows } = (await versions.json()) as { rows: readonly { version: string; state: string }[] }
  const [old, now] = [rows.find(({ state }) => state !== 'live'), rows.find(({ state }) => state === 'live')]
  const compared = await refold(
    'compare',
    'per_country',
    '--from',
    old!.version,
    '--to',
    now!.version,
    '--folded',
  )
  assert.equal(compared.code, 5, compared.err)
  assert.match(compared.out, / {2}expected +1 {2}yen in hundreds: 1\n/)
  assert.match(compared.out, / {2}logic +0 /)
  const events = await refold('compare', 'per_country', '--row', 'country=JP', '--events')
  assert.match(events.out, /· 2 events\n/)
  const why = await refold('why', 'per_country', '--from', before.at)
  // 500 was there, 100 came late, and all of it is divided by a hundred.
  assert.match(why.out, /\nJP +n .*\n +total +500\.00 +\+100\.00 +-594\.00 +6\.00\n/)
})
