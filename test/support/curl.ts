/**
 * As much of `curl` as the README uses (`-s`, `-X`, `-H`, `-d`, a URL), for machines that have none: the tour's
 * commands then run as they stand.
 */

const args = process.argv.slice(2)
let method: string | undefined
let url = ''
let body: string | undefined
const headers = new Headers()
for (let at = 0; at < args.length; at += 1) {
  const option = args[at] ?? ''
  if (option === '-s') continue
  if (!option.startsWith('-')) url = option
  else {
    const value = args[++at] ?? ''
    if (option === '-X') method = value
    else if (option === '-H')
      headers.set(value.slice(0, value.indexOf(':')), value.slice(value.indexOf(':') + 1).trim())
    else if (option === '-d') body = value
    else throw new Error(`option ${option} is not known here`)
  }
}
const response = await fetch(url, {
  method: method ?? 'GET',
  headers,
  ...(body === undefined ? {} : { body }),
})
process.stdout.write(`${await response.text()}\n`)
