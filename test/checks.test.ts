/**
 * Checks on a whole server with real engines: each kind green and red, truths from files and from functions in a
 * process of their own, what cannot be run, and the schedule. Expected totals are counted from what was sent.
 */

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import type { CheckDef, CheckRule, ProjectDef } from '../src/define/types.ts'
import type { CheckResult } from '../src/deploy/types.ts'
import { ProjectMistakes } from '../src/server/checked-project.ts'
import { ScratchDuckDb } from './support/scratch-duckdb.ts'
import { eventually, money, ShopServer, shopView } from './support/shop-server.ts'

const perUser = shopView(
  'per_user',
  'SELECT "user", count(*) AS n, sum(amount) AS total FROM sales GROUP BY "user"',
)
const sql = 'SELECT "user", n, total FROM per_user'

let shop: ShopServer

beforeEach(() => {
  shop = new ShopServer()
})
afterEach(() => shop.dispose())

function check(name: string, rule: object, more: Partial<CheckDef> = {}): CheckDef {
  const place = { file: 'refold.config.ts', line: 7, column: 3 }
  const placed = 'sql' in rule ? { sqlPlace: { ...place, column: 20 }, ...rule } : rule
  return { name, place, rule: placed as CheckRule, cutover: true, timeoutMs: 30_000, ...more }
}

function withChecks(...checks: readonly CheckDef[]): ProjectDef {
  return shop.project({ views: [perUser], checks })
}

/** Runs one check over what is served. */
async function verdict(name: string): Promise<CheckResult> {
  const [result] = await shop.server.core.checks.run({ names: [name] })
  assert.ok(result !== undefined)
  return result
}

/** By user, from what was sent: how many sales, and their sum in cents. */
function expected(): Map<string, { n: number; cents: number }> {
  const byUser = new Map<string, { n: number; cents: number }>()
  for (const { user, cents } of shop.sent) {
    const { n, cents: sum } = byUser.get(user) ?? { n: 0, cents: 0 }
    byUser.set(user, { n: n + 1, cents: sum + cents })
  }
  return byUser
}

/** The totals as a truth would have them; `shift` changes what one user has, in cents. */
function truthRows(
  shift: Readonly<Record<string, number>> = {},
): { user: string; n: number; total: string }[] {
  return [...expected()].map(([user, { n, cents }]) => ({
    user,
    n,
    total: money(cents + (shift[user] ?? 0)),
  }))
}

async function opened(...checks: readonly CheckDef[]): Promise<number> {
  await shop.open(withChecks(...checks), { views: 'adopt' })
  const cut = await shop.send(100)
  await shop.rows('per_user', { after: cut })
  return cut
}

describe('invariants', () => {
  test('one that holds is green, one that does not is red and shows the rows', async () => {
    const cut = await opened(
      check('no_negative', { kind: 'nothing', sql: 'SELECT * FROM per_user WHERE total < 0' }),
      check('few_sales', {
        kind: 'nothing',
        sql: 'SELECT "user", n FROM per_user WHERE n >= 8 ORDER BY "user"',
      }),
      check('events', { kind: 'nothing', sql: 'SELECT _commit FROM sales WHERE amount < 0' }),
    )
    const green = await verdict('no_negative')
    assert.deepEqual(
      [green.verdict, green.cut, green.text, green.rows],
      ['green', cut, 'no row breaks it', []],
    )
    assert.equal((await verdict('events')).verdict, 'green')
    const red = await verdict('few_sales')
    const many = [...expected()].filter(([, { n }]) => n >= 8).map(([user, { n }]) => ({ user, n }))
    many.sort((a, b) => (a.user < b.user ? -1 : 1))
    assert.ok(many.length > 1)
    assert.equal(red.verdict, 'red')
    assert.equal(red.text, `${many.length} rows break it; the first: ${JSON.stringify(many[0])}`)
    assert.deepEqual(red.rows, many.slice(0, 10))
  })

  test('only the events up to its cut count', async () => {
    const cut = await opened(
      check('events', { kind: 'nothing', sql: `SELECT 1 FROM sales HAVING count(*) <> 100` }),
    )
    assert.equal((await verdict('events')).verdict, 'green')
    await shop.rows('per_user', { after: await shop.send(1) })
    const red = await verdict('events')
    assert.deepEqual([red.verdict, red.cut > cut], ['red', true])
  })
})

test('a number of rows', async () => {
  await opened(
    check('enough', { kind: 'rows', view: 'per_user', min: 13, max: 13 }),
    check('more', { kind: 'rows', view: 'per_user', min: 14 }),
    check('fewer', { kind: 'rows', view: 'per_user', max: 12 }),
  )
  const results = await shop.server.core.checks.run({})
  assert.deepEqual(
    results.map(({ name, verdict: said, text }) => [name, said, text]),
    [
      ['enough', 'green', 'view "per_user" has 13 rows; it must have 13 to 13'],
      ['more', 'red', 'view "per_user" has 13 rows; it must have at least 14'],
      ['fewer', 'red', 'view "per_user" has 13 rows; it must have at most 12'],
    ],
  )
})

describe('truth from a file', () => {
  const files = ['csv', 'json', 'ndjson', 'parquet'] as const
  const truthOf = (file: (typeof files)[number], tolerance = {}) =>
    check(file, {
      ...{ kind: 'truth', sql, key: ['user'], tolerance },
      truth: {
        kind: 'file',
        path: join(shop.folder, `truth.${file}`),
        format: file === 'ndjson' ? 'json' : file,
      },
    })

  async function write(file: (typeof files)[number], rows: ReturnType<typeof truthRows>): Promise<void> {
    const path = join(shop.folder, `truth.${file}`)
    // Decimals as JSON numbers: their digits must come through as they stand.
    const lines = rows.map((row) => `{"user":"${row.user}","n":${row.n},"total":${row.total}}`)
    if (file === 'csv') {
      const text = ['total,user,n', ...rows.map((row) => `${row.total},${row.user},${row.n}`)]
      return writeFileSync(path, `${text.join('\n')}\n`)
    }
    if (file === 'json') return writeFileSync(path, `[${lines.join(',\n')}]`)
    if (file === 'ndjson') return writeFileSync(path, `${lines.join('\n')}\n`)
    const values = rows.map((row) => `('${row.user}', ${row.n}::INTEGER, ${row.total}::DECIMAL(18,2))`)
    const select = `SELECT * FROM (VALUES ${values.join(', ')}) t("user", n, total)`
    const duckdb = await ScratchDuckDb.open()
    await duckdb.run(`COPY (${select}) TO '${path}' (FORMAT parquet)`)
    duckdb.close()
  }

  for (const file of files) {
    test(`${file}: equal, and off by a cent`, async () => {
      await opened(truthOf(file))
      await write(file, truthRows())
      const green = await verdict(file)
      assert.deepEqual([green.verdict, green.text], ['green', '13 rows equal the truth'])
      await write(file, truthRows({ u3: 1 }))
      const red = await verdict(file)
      const cents = expected().get('u3')?.cents ?? 0
      assert.equal(red.verdict, 'red')
      assert.deepEqual(red.rows, [
        {
          ...{ key: { user: 'u3' }, column: 'total', result: money(cents), truth: money(cents + 1) },
          ...{ difference: '-0.01', allowed: '0' },
        },
      ])
      const said = `total of user "u3" is ${money(cents)}, the truth says ${money(cents + 1)}`
      assert.equal(red.text, `1 of 13 rows differs; ${said}`)
    })
  }

  test('within its tolerance, to the digit', async () => {
    const tolerance = { total: { absolute: '0.01', relative: '0' } }
    await opened(truthOf('csv', tolerance))
    await write('csv', truthRows({ u3: 1, u4: -1 }))
    assert.equal((await verdict('csv')).verdict, 'green')
    await write('csv', truthRows({ u3: 1, u4: -2 }))
    assert.equal((await verdict('csv')).verdict, 'red')
  })

  test('a file that is missing, empty, or not what it should be is an error, never green', async () => {
    await opened(truthOf('csv'), truthOf('json'), truthOf('parquet'))
    const error = async (name: string) => {
      const { verdict: said, text, rows } = await verdict(name)
      assert.deepEqual([said, rows], ['error', []])
      return text
    }
    assert.match(
      await error('csv'),
      /^it could not be run: the truth of check "csv": there is no file "truth\.csv"$/,
    )
    writeFileSync(join(shop.folder, 'truth.csv'), 'user,n,totl\nu1,1,1\n')
    assert.match(await error('csv'), /the truth has no column "total"/)
    writeFileSync(join(shop.folder, 'truth.csv'), '"user","n","total"\nu1,1,much\n')
    assert.match(await error('csv'), /"much" in column "total", which is no number/)
    writeFileSync(join(shop.folder, 'truth.json'), '[{"user": ')
    assert.match(await error('json'), /the truth of check "json" cannot be read from "truth\.json"/)
    writeFileSync(join(shop.folder, 'truth.parquet'), 'no parquet')
    assert.match(await error('parquet'), /cannot be read from "truth\.parquet"/)
  })
})

describe('truth from a function', () => {
  const truthOf = (name: string, more: Partial<CheckDef> = {}) =>
    check(
      name,
      {
        ...{ kind: 'truth', sql, key: ['user'], tolerance: {} },
        truth: { kind: 'function', file: join(shop.folder, 'refold.config.ts') },
      },
      more,
    )

  /** A project file whose check has this function. */
  function writeProject(name: string, body: string, head = ''): void {
    const text = `import { check, project } from 'refold'
${head}
export default project({ streams: [], checks: [
  check('${name}', { sql: 'SELECT 1 AS n', truth: async () => { ${body} } }),
] })
`
    writeFileSync(join(shop.folder, 'refold.config.ts'), text)
  }

  test('it fetches rows over the network', async () => {
    let asked = 0
    const http = createServer((_request, response) => {
      asked++
      response.end(JSON.stringify(truthRows(asked === 1 ? {} : { u1: 100 })))
    })
    http.listen(0, '127.0.0.1')
    await once(http, 'listening')
    await opened(truthOf('billing'))
    try {
      const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/`
      writeFileSync(join(shop.folder, 'bank.ts'), `export const url: string = '${url}'\n`)
      const body = `console.log('asking'); const rows: any = await (await fetch(url)).json(); return rows.map((row: any) => ({ ...row, n: BigInt(row.n) }))`
      writeProject('billing', body, `import { url } from './bank.ts'`)
      assert.deepEqual(
        [(await verdict('billing')).text, (await verdict('billing')).text.slice(0, 18)],
        ['13 rows equal the truth', '1 of 13 rows diffe'],
      )
      assert.equal(asked, 2)
    } finally {
      http.close()
    }
  })

  const failures: readonly (readonly [string, string, RegExp])[] = [
    [
      'throws',
      `throw new Error('no such table')`,
      /the function of check "f" failed: no such table at file:.*refold\.config\.ts:4:/,
    ],
    [
      'prints before it throws',
      `console.log('step 1'); console.error('step 2'); throw new Error('x')`,
      /; it printed: step 1\nstep 2$/,
    ],
    ['ends its process', `process.exit(3)`, /ended its process \(exit code 3\) before it answered/],
    ['gives no rows', `return 5 as never`, /gave what is no list of rows: 5 instead of an array of objects/],
    ['gives an odd value', `return [{ a: 1 }, { a: NaN }]`, /row 2 has NaN in column "a"/],
    ['gives nested values', `return [{ a: { b: 1 } }] as never`, /row 1 has object in column "a"/],
    [
      'takes too long',
      `await new Promise(() => setInterval(() => {}, 1000)); return []`,
      /did not answer within 700 ms/,
    ],
    ['never yields', `for (;;);`, /did not answer within 700 ms/],
    [
      'takes too much memory',
      `const all: number[][] = []; for (;;) all.push(new Array(1e6).fill(all.length))`,
      /want of memory/,
    ],
  ]
  for (const [what, body, message] of failures) {
    test(`one that ${what} is an error`, async () => {
      const slow = what.startsWith('takes too long') || what.startsWith('never')
      await opened(truthOf('f', slow ? { timeoutMs: 700 } : {}))
      writeProject('f', body)
      const found = await verdict('f')
      assert.equal(found.verdict, 'error')
      assert.match(found.text, message)
    })
  }

  test('one that is gone from the file, or a file that does not load, is an error', async () => {
    await opened(truthOf('f'))
    writeProject('g', 'return []')
    assert.match(
      (await verdict('f')).text,
      /the function of check "f" is no longer in ".*refold\.config\.ts"/,
    )
    writeFileSync(join(shop.folder, 'refold.config.ts'), 'export default 5 +\n')
    assert.match((await verdict('f')).text, /the function of check "f" failed: /)
    rmSync(join(shop.folder, 'refold.config.ts'))
    assert.match((await verdict('f')).text, /the function of check "f" failed: /)
  })
})

describe('the schedule', () => {
  test('runs again and again, tells when it turns red, in status, metrics, audit and tables', async () => {
    await opened(
      check(
        'few',
        { kind: 'nothing', sql: 'SELECT n FROM per_user WHERE n > 8' },
        { everyMs: 1_000, cutover: false },
      ),
    )
    const last = () => shop.server.core.checks.list()[0]?.last
    await eventually(() => last()?.verdict === 'green')
    await shop.rows('per_user', { after: await shop.send(100) })
    await eventually(() => last()?.verdict === 'red')
    const status = (await shop.status()) as unknown as { checks: { name: string; verdict: string }[] }
    assert.deepEqual([status.checks[0]?.name, status.checks[0]?.verdict], ['few', 'red'])
    const metrics = await shop.server.core.metrics()
    const gauge = metrics.find(({ name }) => name === 'refold_check_green')
    assert.deepEqual(gauge?.samples, [{ labels: { check: 'few' }, value: 0 }])
    const changes = await shop.sql(
      `SELECT details ->> 'from' AS f, details ->> 'to' AS t FROM refold.audit WHERE what = 'check changed colour'`,
    )
    assert.deepEqual(changes, [{ f: 'green', t: 'red' }])
    const kept = await shop.sql(
      `SELECT "check", verdict, live FROM refold.checks QUALIFY verdict <> lag(verdict) OVER (ORDER BY time)`,
    )
    assert.deepEqual(kept, [{ check: 'few', verdict: 'red', live: true }])
  })

  test('a slow check runs once at a time, holds nothing up, and what it missed is not made up for', async () => {
    const file = join(shop.folder, 'refold.config.ts')
    const waiting: ServerResponse[] = []
    let asked = 0
    const http = createServer((_request, response) => {
      asked++
      waiting.push(response)
    })
    http.listen(0, '127.0.0.1')
    await once(http, 'listening')
    try {
      const { port } = http.address() as AddressInfo
      const truth = `async () => await (await fetch('http://127.0.0.1:${port}/')).json()`
      const declared = `check('slow', { sql: 'SELECT 1 AS n', truth: ${truth} as never })`
      const text = `import { check, project } from 'refold'\nexport default project({ streams: [], checks: [${declared}] })\n`
      writeFileSync(file, text)
      const truthDef = { kind: 'function', file }
      const rule = {
        kind: 'truth',
        sql: 'SELECT 1 AS n WHERE false',
        key: [],
        tolerance: {},
        truth: truthDef,
      }
      const quick = check('quick', { kind: 'rows', view: 'per_user', min: 1 }, { everyMs: 1_000 })
      await opened(check('slow', rule, { everyMs: 1_000 }), quick)
      const runsOf = async (name: string) =>
        (await shop.sql(`SELECT 1 FROM refold.checks WHERE "check" = '${name}'`)).length
      await eventually(() => asked === 1)
      const before = await runsOf('quick')
      // Ticks and the other check go on while it waits: more than one of its own turns passes.
      await eventually(async () => {
        await shop.rows('per_user', { after: await shop.send(1) })
        return (await runsOf('quick')) >= before + 3
      })
      assert.deepEqual([asked, await runsOf('slow')], [1, 0])
      assert.equal(shop.server.core.checks.list()[0]?.running, true)
      waiting[0]?.end('[]')
      await eventually(async () => (await runsOf('slow')) === 1 && asked === 2)
      assert.equal(shop.server.core.checks.list()[0]?.last?.verdict, 'green')
    } finally {
      http.closeAllConnections()
      await shop.close()
      http.close()
    }
  })

  test('a server that is started again goes on with the rhythm', async () => {
    const rare = check('rare', { kind: 'rows', view: 'per_user', min: 1 }, { everyMs: 3_600_000 })
    const often = check('often', { kind: 'rows', view: 'per_user', min: 1 }, { everyMs: 1_000 })
    const last = (name: string) =>
      shop.server.core.checks.list().find((one) => one.name === name)?.last?.timeMs ?? 0
    await opened(rare, often)
    await eventually(() => last('rare') > 0 && last('often') > 0)
    const [rareMs, oftenMs] = [last('rare'), last('often')]
    await shop.close()
    await shop.open(withChecks(rare, often), { views: 'adopt' })
    await eventually(() => last('often') > oftenMs)
    assert.equal(last('rare'), rareMs)
  })
})

test('mistakes in the SQL of checks are told at load, all at once, each at its place', async () => {
  const wrong = withChecks(
    check('table', { kind: 'nothing', sql: 'SELECT * FROM per_usr' }),
    check('column', { kind: 'nothing', sql: 'SELECT "user"\nFROM per_user WHERE totl < 0' }),
    check('function', { kind: 'nothing', sql: "SELECT read_text('/etc/passwd')" }),
    check('file', { kind: 'nothing', sql: "SELECT * FROM 'a.csv'" }),
    check('types', { kind: 'nothing', sql: 'SELECT sum("user") FROM per_user' }),
    check('write', { kind: 'nothing', sql: 'DELETE FROM per_user' }),
    check('system', { kind: 'nothing', sql: 'SELECT * FROM refold.views' }),
    check('totals', {
      ...{ kind: 'truth', sql, key: ['usr'], truth: { kind: 'file', path: '/t.csv', format: 'csv' } },
      tolerance: { totl: { absolute: '1', relative: '0' }, user: { absolute: '1', relative: '0' } },
    }),
    check('rows', { kind: 'rows', view: 'gone', min: 1 }),
    check('good', {
      kind: 'nothing',
      sql: 'SELECT * FROM sales JOIN per_user USING ("user") WHERE _commit < 0',
    }),
  )
  const mistakes = await shop.open(wrong, { views: 'adopt' }).then(
    () => assert.fail('the project was accepted'),
    (error: unknown) => {
      assert.ok(error instanceof ProjectMistakes)
      return error.mistakes.map(({ code, message, hint, place }) => {
        return `${place?.line}:${place?.column} ${code} ${message} | ${hint}`
      })
    },
  )
  assert.deepEqual(mistakes, [
    '7:34 SQL_NAME_UNKNOWN check "table": there is no view or stream "per_usr" | Did you mean "per_user"?',
    '8:21 COLUMN_UNKNOWN check "column": there is no column "totl" | Did you mean "total"?',
    '7:27 SQL_FORBIDDEN check "function": a query cannot call the function "read_text" | Write a SELECT over views and streams.',
    '7:34 SQL_FORBIDDEN check "file": a query cannot read the file "a.csv" | Write a SELECT over views and streams.',
    `7:27 CHECK_INVALID check "types": the SQL does not bind: No function matches the given name and argument types 'sum(VARCHAR)'. You might need to add explicit type casts. | Correct what is named; docs/checks.md shows every kind.`,
    '7:20 SQL_FORBIDDEN check "write": the SQL is not a SELECT | Write a SELECT over views and streams.',
    '7:34 SQL_NAME_UNKNOWN check "system": there is no view or stream "refold.views" | Name a view or a stream of the project; refold.* tables tell of now, not of a cut.',
    '7:20 CHECK_INVALID check "totals": its SQL gives no column "usr" | Did you mean "user"?',
    '7:20 CHECK_INVALID check "totals": its SQL gives no column "totl" | Did you mean "total"?',
    '7:20 CHECK_INVALID check "totals": column "user" is VARCHAR, which has no tolerance | Give tolerances to numbers alone.',
    '7:3 CHECK_INVALID check "rows": there is no view "gone" | Correct what is named; docs/checks.md shows every kind.',
  ])
})
