/** What is refused of a fold in TypeScript when its project is loaded or deployed, each with what and where. */

import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { CLICKS, FoldServer } from '../support/fold-server.ts'

let shop: FoldServer
beforeEach(() => {
  shop = new FoldServer()
})
afterEach(() => shop.dispose())

let tries = 0

interface Parts {
  readonly top?: string
  readonly init?: string
  readonly step?: string
  readonly merge?: string
  readonly finish?: string
  readonly more?: string
}

function write({ top = '', init = '() => ({ n: 0 })', step, merge, finish, more = '' }: Parts): void {
  shop.write({
    'clicks.ts': CLICKS,
    'refold.config.ts': `import { fold, lambda, project } from 'refold'
import { z } from 'zod'
import { clicks } from './clicks.ts'
${top}
const tried = fold('tried', {
  from: clicks, key: 'user', row: z.object({ n: z.int() }),
  init: ${init},
  step: ${step ?? '(state) => ({ n: state.n + 1 })'},
  ${merge === undefined ? '' : `merge: ${merge},`}
  finish: ${finish ?? '(state) => ({ n: state.n })'},
  ${more}
})
export default project({ streams: [clicks], views: [tried] })
`,
  })
}

async function refusal(parts: Parts): Promise<string> {
  write(parts)
  try {
    shop.project = undefined
    await shop.load({ dataDir: `${shop.folder}/data-${tries++}` })
    await shop.open()
  } catch (error) {
    const mistakes = (error as { mistakes?: readonly { code: string; message: string }[] }).mistakes
    const first = mistakes?.[0] ?? (error as { code: string; message: string })
    return `${first.code} ${first.message}`
  }
  await shop.close()
  return 'accepted'
}

test('clock, chance and what lies outside are refused, with what was used', async () => {
  const using = (what: string) =>
    refusal({ step: `(state) => { void (${what}); return { n: state.n + 1 } }` })
  assert.match(
    await using('Date.now()'),
    /^LOGIC_IMPURE fold "tried": .*Date\.now\(\).*refold\.config\.ts:\d+:\d+/,
  )
  assert.match(await using('new Date()'), /^LOGIC_IMPURE .*new Date\(\)/)
  assert.match(await using('Math.random()'), /^LOGIC_IMPURE .*Math\.random\(\)/)
  assert.match(await using('performance.now()'), /^LOGIC_IMPURE .*performance\.now\(\)/)
  assert.match(await using('process.env'), /^LOGIC_IMPURE .*process/)
  assert.match(await using('setTimeout(() => {}, 1)'), /^LOGIC_IMPURE .*setTimeout/)
  assert.match(await using(`fetch('http://localhost')`), /^LOGIC_IMPURE .*fetch/)
  assert.match(await using('crypto.randomUUID()'), /^LOGIC_IMPURE .*randomUUID/)
  assert.match(await using(`'a'.localeCompare('b')`), /^LOGIC_IMPURE .*localeCompare\(\) without a locale/)
  assert.equal(await using('new Date(0).toISOString()'), 'accepted')
})

test('what a function keeps beside its state is found by folding twice', async () => {
  const counted = await refusal({ top: 'let calls = 0', step: '(state) => ({ n: state.n + calls++ })' })
  assert.match(counted, /^LOGIC_IMPURE fold "tried": it does not give the same for the same events/)
  const sorted = await refusal({
    init: '() => ({ n: 0, pages: [] as string[] })',
    step: '(state, event) => ({ n: state.pages.length === 0 ? 0 : Number(state.pages[0] < event.page), pages: [...state.pages, event.page] })',
    finish: '(state) => ({ n: state.pages.reverse().length })',
  })
  assert.match(sorted, /^LOGIC_IMPURE .*finish/)
})

test('a merge that is not associative, or does not agree with step, is refused', async () => {
  const merge = (text: string) => refusal({ merge: text })
  assert.equal(await merge('(a, b) => ({ n: a.n + b.n })'), 'accepted')
  assert.match(
    await merge('(a, b) => ({ n: a.n - b.n })'),
    /^LOGIC_INVALID fold "tried": `merge` (is not associative|does not agree)/,
  )
  assert.match(
    await merge('(a, b) => ({ n: Math.max(a.n, b.n) })'),
    /^LOGIC_INVALID .*does not agree with `step`/,
  )
  assert.match(await merge(`() => { throw new Error('no') }`), /^LOGIC_INVALID .*`merge` fails/)
})

test('lambda without merge, async functions, a wrong key and columns of the key are refused at load', async () => {
  assert.match(
    await refusal({ more: `run: lambda({ every: '1m' })` }),
    /^LOGIC_INVALID fold "tried": it has no `merge`/,
  )
  assert.match(await refusal({ step: 'async (state) => state as never' }), /^LOGIC_INVALID .*`step` is async/)
  assert.match(await refusal({ more: `key: 'usr' as 'user'` }), /^LOGIC_INVALID .*key "usr" is not a field/)
  assert.match(
    await refusal({ more: `row: z.object({ user: z.string(), n: z.int() })` }),
    /^LOGIC_INVALID .*"user" is a column of the key/,
  )
  assert.match(
    await refusal({ init: '() => ({ n: 0, at: new Date(0) })' }),
    /^LOGIC_INVALID fold "tried": .*Date/,
  )
})
