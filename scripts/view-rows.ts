/**
 * All rows of a view, however many, through the public HTTP API: the view itself where one answer holds it, else SQL
 * over it in parts that a hash of the row decides. Nothing may be arriving meanwhile; every answer says its cut, and
 * they must be the same. No state.
 */

const rowsPerAnswer = 100_000

interface Answer {
  readonly cut: number
  readonly truncated: boolean
  readonly columns: readonly { readonly name: string }[]
  readonly rows: readonly Readonly<Record<string, unknown>>[]
}

/** Bodies of answers, each an object with `rows`, that together have each row of the view once. */
export async function readWholeView(url: string, view: string, after: number): Promise<readonly string[]> {
  const wait = `after=${after}&timeout=120000`
  const body = await text(await fetch(`${url}/v1/views/${view}?limit=${rowsPerAnswer}&${wait}`))
  const first = JSON.parse(body) as Answer
  if (!first.truncated) return [body]
  const counted = await sql(url, `SELECT count(*) AS n FROM ${view}`, after)
  const rows = Number((JSON.parse(counted) as Answer).rows[0]?.['n'])
  const parts = Math.ceil(rows / (rowsPerAnswer * 0.95))
  // A hash divides 100,000 rows so evenly that a part of 95,000 stays below the limit; one that does not is an error.
  const columns = first.columns.map(({ name }) => `"${name}"`).join(', ')
  const bodies: string[] = []
  for (let part = 0; part < parts; part += 1) {
    const query = `SELECT * FROM ${view} WHERE hash(${columns}) % ${parts} = ${part}`
    const answer = await sql(url, query, after)
    const { cut, truncated } = JSON.parse(answer) as Answer
    if (truncated || cut !== first.cut)
      throw new Error(`view "${view}" was not read whole at cut ${first.cut}`)
    bodies.push(answer)
  }
  return bodies
}

async function sql(url: string, query: string, after: number): Promise<string> {
  const response = await fetch(`${url}/v1/sql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ sql: query, limit: rowsPerAnswer, after, timeout: 120_000 }),
  })
  return text(response)
}

async function text(response: Response): Promise<string> {
  const body = await response.text()
  if (!response.ok) throw new Error(`${response.url} answered ${response.status}: ${body.slice(0, 400)}`)
  return body
}
