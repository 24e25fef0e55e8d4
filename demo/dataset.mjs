// The purchase history that is replayed: read from a file, or generated where the file is absent.
//
// A data set is { name, origin, generated, customers }, a customer { id, purchases }, a purchase
// { date: 'YYYY-MM-DD', quantity, cents }. Money is integer cents everywhere; the file's two
// decimals are never taken through floating point before they are summed.

import { readFileSync, existsSync } from 'node:fs'
import { basename, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'

const DEFAULT_FILE = fileURLToPath(new URL('../../shared/data/cdnow.csv.gz', import.meta.url))
const COLUMNS = 'customer_id,date,quantity,amount_usd'
const ROW = /^([^,\s]+),(\d{4}-\d{2}-\d{2}),(\d+),(\d+\.\d{2})$/

/**
 * Loads the data set: `file` where it is given (it must exist), else the CDNOW file beside the
 * project, else the generated one. `limit` keeps the first n customers.
 */
export function loadDataset({ file, limit } = {}) {
  if (file && !existsSync(file)) throw new Error(`DATASET ${file}: no such file`)
  const path = file || DEFAULT_FILE
  const dataset = existsSync(path) ? readDataset(path) : generateDataset()
  return limit ? { ...dataset, customers: dataset.customers.slice(0, limit) } : dataset
}

function readDataset(path) {
  const bytes = readFileSync(path)
  const gzipped = bytes[0] === 0x1f && bytes[1] === 0x8b
  const text = (gzipped ? gunzipSync(bytes) : bytes).toString('utf8')
  return {
    name: basename(path).replace(/\.csv(\.gz)?$/, ''),
    origin: relative(process.cwd(), path),
    generated: false,
    customers: parseCsv(text),
  }
}

/** Parses the four columns and groups by customer, in the file's order; a customer's purchases by date. */
export function parseCsv(text) {
  const [header, ...lines] = text.split(/\r?\n/)
  if (header !== COLUMNS) throw new Error(`line 1: want "${COLUMNS}", got "${header}"`)
  const byCustomer = new Map()
  lines.forEach((line, index) => {
    if (line === '') return
    const row = ROW.exec(line)
    if (!row) throw new Error(`line ${index + 2}: not a purchase: "${line}"`)
    const [, id, date, quantity, amount] = row
    const purchase = { date, quantity: Number(quantity), cents: parseCents(amount) }
    if (byCustomer.has(id)) byCustomer.get(id).push(purchase)
    else byCustomer.set(id, [purchase])
  })
  return [...byCustomer].map(([id, purchases]) => ({
    id,
    // The sort is stable: two purchases of one day keep the file's order, and so their order ids.
    purchases: purchases.sort((a, b) => (a.date < b.date ? -1 : a.date > b.date ? 1 : 0)),
  }))
}

/** What a correct server must hold in the end. */
export function totalsOf(customers) {
  const totals = { customers: customers.length, orders: 0, events: 0, cents: 0 }
  for (const { purchases } of customers) {
    totals.orders += purchases.length
    for (const { cents } of purchases) totals.cents += cents
  }
  totals.events = totals.customers + totals.orders // one identify each, one track per order
  return totals
}

/** '11.77' → 1177. */
export function parseCents(amount) {
  const match = /^(\d+)\.(\d{2})$/.exec(amount)
  if (!match) throw new Error(`not an amount with two decimals: "${amount}"`)
  const cents = Number(match[1] + match[2])
  if (!Number.isSafeInteger(cents)) throw new Error(`amount too large: "${amount}"`)
  return cents
}

/** 250031563 → '2,500,315.63'. */
export function formatCents(cents) {
  const digits = String(Math.abs(cents)).padStart(3, '0')
  const whole = digits.slice(0, -2).replace(/\B(?=(\d{3})+$)/g, ',')
  return `${cents < 0 ? '-' : ''}${whole}.${digits.slice(-2)}`
}

/**
 * 1177 → 11.77, the number JSON writes as in the file. Dividing is exact enough: IEEE division
 * gives the double nearest to the decimal, which is what parsing '11.77' gives.
 */
export function decimal(cents) {
  return cents / 100
}

// The generated stand-in has the shape of CDNOW: everyone's first purchase lies in the first twelve
// weeks of 1997, half never return, and repeat purchases follow a negative binomial distribution
// (mean and shape near those of the real file) until the end of June 1998.
const SEED = 1997
const CUSTOMERS = 23_570
const FIRST_DAY = Date.UTC(1997, 0, 1)
const DAY_MS = 86_400_000
const FIRST_PURCHASE_DAYS = 84
const DAYS = 546
const REPEATS = { mean: 1.955, shape: 0.37, max: 250 }
const ANOTHER_CD = 0.55
const MAX_QUANTITY = 99
const GIVEN_AWAY = 0.001
const CD_PRICES = [793, 1077, 1177, 1277, 1377, 1437, 1496, 1599, 1699, 1937]

/** Generates the same data set on every machine and at every call. */
export function generateDataset() {
  const random = mulberry32(SEED)
  const customers = []
  for (let number = 1; number <= CUSTOMERS; number++) {
    const first = Math.floor(random() * FIRST_PURCHASE_DAYS)
    const days = [first]
    for (let left = drawRepeats(random()); left > 0; left--) {
      days.push(first + Math.floor(random() * (DAYS - first)))
    }
    days.sort((a, b) => a - b)
    customers.push({
      id: String(number).padStart(5, '0'),
      purchases: days.map((day) => drawPurchase(day, random)),
    })
  }
  return { name: 'generated', origin: 'generated', generated: true, customers }
}

function drawPurchase(day, random) {
  let quantity = 1
  while (quantity < MAX_QUANTITY && random() < ANOTHER_CD) quantity++
  const price = CD_PRICES[Math.floor(random() * CD_PRICES.length)]
  return {
    date: new Date(FIRST_DAY + day * DAY_MS).toISOString().slice(0, 10),
    quantity,
    cents: random() < GIVEN_AWAY ? 0 : quantity * price, // the real file has orders of 0.00, too
  }
}

// Inverts the negative binomial distribution: p(0) = (r/(r+m))^r, p(k+1) = p(k)·(k+r)/(k+1)·m/(r+m).
function drawRepeats(uniform) {
  const { mean, shape, max } = REPEATS
  let probability = (shape / (shape + mean)) ** shape
  let cumulated = probability
  let repeats = 0
  while (uniform > cumulated && repeats < max) {
    probability *= ((repeats + shape) / (repeats + 1)) * (mean / (shape + mean))
    cumulated += probability
    repeats++
  }
  return repeats
}

// A small public-domain generator: unlike Math.random it can be seeded.
function mulberry32(seed) {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
