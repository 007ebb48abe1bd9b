-- Budgets in Redis: all that is done to accounts, in one script, so that it is loaded once and each call is one step.
--
-- KEYS  as below. An account has two: its hash (what is used and held), and that of what is held in it now, by the ids of the holds. All
--       others are in their slot and follow from them: a hold has a list of three for each of its accounts, the two keys and what became
--       of it there; what was charged lately is in "<account>:done", by when; accounts in which something was held are in "dirty".
-- ARGV  1: what is to be done; the rest as below. Amounts are whole numbers as texts: dollars are billionths.
--
-- What is held in an account is "<second> <dollars> <tokens> <requests> <lapses>". What became of it begins with "h" for held, "l" for let go
-- because nobody settled it, "s" for settled; then the second and three amounts.
--
-- An account that slides has three counters of each kind for every second in which something was held: "<second>:uu" and so on.

local UNITS = {"u", "t", "r"}
local WINDOW = 61
-- For how many seconds it is known what was charged, at least.
local LATELY = 120

local time = redis.call("TIME")
local now = tonumber(time[1])
-- To the millionth of a second, as a text.
local moment = string.format("%d.%06d", time[1], time[2])

local function number(value)
  return tonumber(value) or 0
end

local function prefix_of(second)
  return second == "0" and "" or second .. ":"
end

local function add(account, second, kind, amounts, sign)
  for place, unit in ipairs(UNITS) do
    if amounts[place] ~= "0" then
      redis.call("HINCRBY", account, prefix_of(second) .. kind .. unit, sign .. amounts[place])
    end
  end
end

local function keep(keys, kept)
  for _, key in ipairs(keys) do
    if kept == "" then
      redis.call("PERSIST", key)
    else
      redis.call("EXPIRE", key, kept)
    end
  end
end

local function read(said)
  -- What became of a hold in an account.
  local state, second, u, t, r, marks = string.match(said, "^(%a) (%d+) (%d+) (%d+) (%d+) ?(%S*)")
  return state, second, {u, t, r}, marks
end

local function place_of(hold, account)
  -- Where the list of a hold says what became of it in an account.
  local said = redis.call("LRANGE", hold, 0, -1)
  for at = 1, #said, 3 do
    if said[at] == account then
      return at + 1, said[at + 2]
    end
  end
end

local function clean(account, holds, prefix)
  -- Let go of what nobody has settled in time, now and then; of minutes forget the seconds that no longer count.
  local due = redis.call("HGET", account, "clean")
  if not due or number(due) > now then
    return
  end
  local entries = redis.call("HGETALL", holds)
  for at = 1, #entries, 2 do
    local second, u, t, r, lapses = string.match(entries[at + 1], "^(%d+) (%d+) (%d+) (%d+) (%d+)")
    if number(lapses) <= now then
      redis.call("HDEL", holds, entries[at])
      add(account, second, "h", {u, t, r}, "-")
      local place = place_of(prefix .. "hold:" .. entries[at], account)
      if place then
        redis.call("LSET", prefix .. "hold:" .. entries[at], place, table.concat({"l", second, u, t, r}, " "))
      end
    end
  end
  redis.call("ZREMRANGEBYSCORE", account .. ":done", "-inf", now - LATELY)
  for _, field in ipairs(redis.call("HKEYS", account)) do
    local second = string.match(field, "^(%d+):")
    if second and tonumber(second) <= now - WINDOW then
      redis.call("HDEL", account, field)
    end
  end
  redis.call("HSET", account, "clean", now + 30)
end

local function balance(account, slides)
  -- Six sums, and for one that slides the six counters of each second.
  local sums = {"0", "0", "0", "0", "0", "0"}
  local seconds = {}
  if not slides then
    local found = redis.call("HMGET", account, "uu", "ut", "ur", "hu", "ht", "hr")
    for place = 1, 6 do
      sums[place] = found[place] or "0"
    end
    return sums, seconds
  end
  local by_second = {}
  local fields = redis.call("HGETALL", account)
  local totals = {0, 0, 0, 0, 0, 0}
  for at = 1, #fields, 2 do
    local second, kind, unit = string.match(fields[at], "^(%d+):(%a)(%a)$")
    if second and tonumber(second) > now - WINDOW then
      local place = (kind == "u" and 0 or 3) + (unit == "u" and 1 or unit == "t" and 2 or 3)
      if not by_second[second] then
        by_second[second] = {second, "0", "0", "0", "0", "0", "0"}
        table.insert(seconds, by_second[second])
      end
      by_second[second][place + 1] = fields[at + 1]
      totals[place] = totals[place] + tonumber(fields[at + 1])
    end
  end
  for place = 1, 6 do
    sums[place] = string.format("%.0f", totals[place])
  end
  return sums, seconds
end

local function hold()
  -- KEYS: the hold, then two for each account.
  -- 2: id, 3: what all keys begin with, 4: after how many seconds it lapses, 5: for how many more it is remembered,
  -- 6: whether an account that is not there has to be filled first, 7: whether it is held where there is no room, too, 8: how many accounts;
  -- of each eleven: start and end of its window, whether it slides, three amounts, three limits ("" is none), how long it is kept, and the
  -- marks at which somebody is to be told, "<unit>:<amount>:<limit>" with commas in between.
  local id, prefix, lapse, known, fills, forced, count =
    ARGV[2], ARGV[3], number(ARGV[4]), ARGV[5], ARGV[6] == "1", ARGV[7] ~= "", number(ARGV[8])
  local missing = {}
  if redis.call("EXISTS", KEYS[1]) == 1 then
    return {"held", time[1], time[2]}
  end
  for at = 1, count do
    local base = 8 + (at - 1) * 11
    local start, ends, slides = ARGV[base + 1], ARGV[base + 2], ARGV[base + 3] == "1"
    if not forced and not slides and (now < tonumber(start) or (ends ~= "" and now >= tonumber(ends))) then
      return {"clock", time[1], time[2]}
    end
    if fills and redis.call("EXISTS", KEYS[2 * at]) == 0 then
      table.insert(missing, at - 1)
    end
  end
  if #missing > 0 then
    return {"fill", time[1], time[2], missing}
  end
  for at = 1, count do
    local base = 8 + (at - 1) * 11
    local account, slides = KEYS[2 * at], ARGV[base + 3] == "1"
    clean(account, KEYS[2 * at + 1], prefix)
    local sums, seconds = balance(account, slides)
    for place = 1, 3 do
      local asked, limit = number(ARGV[base + 3 + place]), ARGV[base + 6 + place]
      if not forced and limit ~= "" and not (place == 3 and asked == 0) then
        local total = tonumber(sums[place]) + tonumber(sums[place + 3])
        if total + asked > tonumber(limit) or total >= tonumber(limit) then
          return {"full", time[1], time[2], at - 1, place - 1, sums, seconds}
        end
      end
    end
  end
  for at = 1, count do
    local base = 8 + (at - 1) * 11
    local account, holds, slides = KEYS[2 * at], KEYS[2 * at + 1], ARGV[base + 3] == "1"
    local second = slides and (forced and ARGV[7] or time[1]) or "0"
    local amounts = {ARGV[base + 4], ARGV[base + 5], ARGV[base + 6]}
    redis.call("RPUSH", KEYS[1], account, holds, table.concat({"h", second, amounts[1], amounts[2], amounts[3], ARGV[base + 11]}, " "))
    add(account, second, "h", amounts, "")
    redis.call("HSETNX", account, "clean", now + 30)
    redis.call("HSET", holds, id, table.concat({second, amounts[1], amounts[2], amounts[3], now + lapse}, " "))
    keep({account, holds}, ARGV[base + 10])
    if fills and not slides then
      redis.call("ZADD", prefix .. "dirty", moment, account)
    end
  end
  redis.call("EXPIRE", KEYS[1], lapse + number(known))
  return {"held", time[1], time[2]}
end

local function charge(account, holds, id, state, second, before, asked)
  -- Charge what was used; return what became of the hold.
  local used = {}
  for place = 1, 3 do
    used[place] = asked[place] == "" and before[place] or asked[place]
  end
  add(account, second, "u", used, "")
  if state ~= "l" then
    add(account, second, state == "h" and "h" or "u", before, "-")
  end
  redis.call("HDEL", holds, id)
  if second == "0" then
    redis.call("ZADD", account .. ":done", now, id)
    redis.call("EXPIRE", account .. ":done", 2 * LATELY)
  end
  return table.concat({"s", second, used[1], used[2], used[3]}, " ")
end

local function reached(account, slides, marks, found)
  -- Of each unit it is told once in a window that so much is used; where that slides, of those that have reached it, once in so many seconds.
  local last = redis.call("HGET", account, "told")
  if slides and last and now - number(last) < WINDOW then
    return
  end
  for unit, at, limit in string.gmatch(marks, "(%d):(%d+):(%d+)") do
    local used, field = balance(account, slides)[tonumber(unit) + 1], slides and "told" or "told" .. unit
    if tonumber(used) >= tonumber(at) and (slides or redis.call("HEXISTS", account, field) == 0) then
      redis.call("HSET", account, field, time[1])
      table.insert(found, {account, unit, at, limit, used})
    end
  end
end

local function settle()
  -- KEYS: the hold.
  -- 2: id, 3 to 5: what was used ("" is what was held), 6: for how many seconds it may be corrected, 7: whether it corrects what was charged,
  -- 8: whether somebody hears of what is reached, 9: for how many seconds it may still be held, which is to come to nothing then.
  local id, found = ARGV[2], {}
  local said = redis.call("LRANGE", KEYS[1], 0, -1)
  if #said == 0 and ARGV[9] ~= "" then
    redis.call("RPUSH", KEYS[1], "", "", "s 0 0 0 0")
    redis.call("EXPIRE", KEYS[1], ARGV[9])
  end
  for at = 1, #said, 3 do
    local account, holds = said[at], said[at + 1]
    local state, second, before, marks = read(said[at + 2])
    -- Of what is held no more, though nobody has settled it, Redis has lost a part: that it was charged is known elsewhere.
    local is_there = state ~= "h" or redis.call("HEXISTS", holds, id) == 1
    if is_there and (state == "h" or ARGV[7] == "1") and redis.call("EXISTS", account) == 1 then
      local became = charge(account, holds, id, state, second, before, {ARGV[3], ARGV[4], ARGV[5]})
      redis.call("LSET", KEYS[1], at + 1, became .. " " .. marks)
      if ARGV[8] == "1" then
        reached(account, second ~= "0", marks, found)
      end
    end
  end
  if #said > 0 then
    redis.call("EXPIRE", KEYS[1], math.max(number(ARGV[6]), 2 * LATELY))
  end
  return {"settled", found}
end

local function fill()
  -- KEYS: the two of an account.
  -- 2: how long it is kept, 3: what all keys begin with, 4: how long what it holds is remembered, 5: whether it slides, 6: how many fields;
  -- then fields and values, then ids, and what they hold. What is there is left alone.
  local account, holds, prefix = KEYS[1], KEYS[2], ARGV[3]
  if redis.call("EXISTS", account) == 1 then
    return {"there"}
  end
  redis.call("DEL", holds, account .. ":done")
  redis.call("HSET", account, "clean", now + 30)
  local at = 7
  for _ = 1, number(ARGV[6]) do
    redis.call("HSET", account, ARGV[at], ARGV[at + 1])
    at = at + 2
  end
  while ARGV[at] do
    local key, became = prefix .. "hold:" .. ARGV[at], "h " .. string.match(ARGV[at + 1], "^(.*) %d+$")
    redis.call("HSET", holds, ARGV[at], ARGV[at + 1])
    local place = place_of(key, account)
    if place then
      redis.call("LSET", key, place, became)
    else
      redis.call("RPUSH", key, account, holds, became)
    end
    redis.call("EXPIRE", key, ARGV[4])
    at = at + 2
  end
  keep({account, holds}, ARGV[2])
  if ARGV[5] == "0" then
    redis.call("ZADD", prefix .. "dirty", moment, account)
  end
  return {"filled"}
end

local function balances()
  -- 2: whether an account that is not there has to be filled first; from 3 on: whether each slides.
  local found, missing = {}, {}
  for at, account in ipairs(KEYS) do
    if ARGV[2] == "1" and redis.call("EXISTS", account) == 0 then
      table.insert(missing, at - 1)
    end
    local sums, seconds = balance(account, ARGV[at + 2] == "1")
    found[at] = {sums, seconds}
  end
  if #missing > 0 then
    return {"fill", time[1], time[2], missing}
  end
  return {"balances", time[1], time[2], found}
end

local function forget()
  -- KEYS: the hold, or what says where it is. It may be asked for again.
  redis.call("DEL", KEYS[1])
  return {"forgotten"}
end

local function dirty()
  -- KEYS: the accounts in which something was held, by when it was last. 2: until when, "" is now; 3: how many to leave out, 4: how many
  -- are wanted. With each it is said when.
  local latest = ARGV[2] == "" and moment or ARGV[2]
  return {"dirty", latest, redis.call("ZRANGEBYSCORE", KEYS[1], "-inf", latest, "WITHSCORES", "LIMIT", ARGV[3], ARGV[4])}
end

local function clear()
  -- KEYS: the same. From 2 on: accounts, and when something was held in them last. They are left out from now on, unless that has changed.
  for at = 2, #ARGV, 2 do
    local last = redis.call("ZSCORE", KEYS[1], ARGV[at])
    if last and tonumber(last) == tonumber(ARGV[at + 1]) then
      redis.call("ZREM", KEYS[1], ARGV[at])
    end
  end
  return {"cleared"}
end

local function mark()
  -- KEYS: the same. From 2 on: accounts that are to be compared.
  for at = 2, #ARGV do
    redis.call("ZADD", KEYS[1], moment, ARGV[at])
  end
  return {"marked"}
end

local function note_part()
  -- KEYS: the parts that have accounts, by when somebody has said so last. 2: one of them.
  redis.call("ZADD", KEYS[1], now, ARGV[2])
  return {"noted"}
end

local function drop_part()
  -- KEYS: the same. 2: a part in which there is nothing to compare, 3: after how many seconds in which nobody has said it is used.
  local noted = redis.call("ZSCORE", KEYS[1], ARGV[2])
  if noted and tonumber(noted) < now - number(ARGV[3]) then
    redis.call("ZREM", KEYS[1], ARGV[2])
  end
  return {"dropped"}
end

local function unwritten()
  -- KEYS: the processes whose rows wait outside of the database, by when they have said so. 2: which, "" is none, 3: whether they do.
  if ARGV[2] ~= "" and ARGV[3] == "1" then
    redis.call("ZADD", KEYS[1], now, ARGV[2])
  elseif ARGV[2] ~= "" then
    redis.call("ZREM", KEYS[1], ARGV[2])
  end
  redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", now - 86400)
  return {"unwritten", redis.call("ZCARD", KEYS[1])}
end

local function parts()
  -- KEYS: the parts that have accounts.
  return {"parts", redis.call("ZRANGE", KEYS[1], 0, -1)}
end

local function point()
  -- KEYS: says which part has a hold. 2: which, 3: for how many seconds.
  redis.call("SET", KEYS[1], ARGV[2], "EX", ARGV[3])
  return {"pointed"}
end

local function where()
  -- KEYS: the same.
  return {"where", redis.call("GET", KEYS[1])}
end

local function state()
  -- KEYS: the two of an account. 2: what all keys begin with. What holds say is held is what is held.
  local account, holds, prefix = KEYS[1], KEYS[2], ARGV[2]
  if redis.call("EXISTS", account) == 0 then
    return {"gone"}
  end
  local entries = redis.call("HGETALL", holds)
  local sums = {0, 0, 0}
  for at = 2, #entries, 2 do
    local u, t, r = string.match(entries[at], "^%d+ (%d+) (%d+) (%d+)")
    for place, amount in ipairs({u, t, r}) do
      sums[place] = sums[place] + tonumber(amount)
    end
  end
  for place, unit in ipairs(UNITS) do
    redis.call("HSET", account, "h" .. unit, string.format("%.0f", sums[place]))
  end
  local done = {}
  for _, id in ipairs(redis.call("ZRANGE", account .. ":done", 0, -1)) do
    local _, said = place_of(prefix .. "hold:" .. id, account)
    if said then
      table.insert(done, id)
      table.insert(done, said)
    end
  end
  return {"state", redis.call("HMGET", account, "uu", "ut", "ur"), entries, done, redis.call("HGET", account, "corrected") or "0"}
end

local function correct()
  -- KEYS: the two of an account.
  -- 2: what all keys begin with, 3 to 5: what is charged in addition, 6: how long a hold is remembered, 7: how often it had been corrected when
  -- it was compared, 8: how many holds are settled; of each four: id, and what was used ("" is what was held). Then ids, and what they hold,
  -- which is held from now on unless it is known here.
  local account, holds, prefix = KEYS[1], KEYS[2], ARGV[2]
  if redis.call("EXISTS", account) == 0 or (redis.call("HGET", account, "corrected") or "0") ~= ARGV[7] then
    return {"changed"}
  end
  redis.call("HINCRBY", account, "corrected", 1)
  for place, unit in ipairs(UNITS) do
    redis.call("HINCRBY", account, "u" .. unit, ARGV[2 + place])
  end
  local settled = 8 + 4 * number(ARGV[8])
  for at = 9, settled, 4 do
    local key, found = prefix .. "hold:" .. ARGV[at], redis.call("HGET", holds, ARGV[at])
    if found then
      local _, second, before = read("h " .. found)
      local became = charge(account, holds, ARGV[at], "h", second, before, {ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]})
      local place = place_of(key, account)
      if place then
        redis.call("LSET", key, place, became)
      end
    end
  end
  for at = settled + 1, #ARGV, 2 do
    local key = prefix .. "hold:" .. ARGV[at]
    local _, said = place_of(key, account)
    if (not said or string.sub(said, 1, 1) == "h") and redis.call("HEXISTS", holds, ARGV[at]) == 0 then
      local _, second, amounts = read("h " .. ARGV[at + 1])
      if not said then
        redis.call("RPUSH", key, account, holds, table.concat({"h", second, amounts[1], amounts[2], amounts[3]}, " "))
        redis.call("EXPIRE", key, ARGV[6])
      end
      redis.call("HSET", holds, ARGV[at], ARGV[at + 1])
      add(account, second, "h", amounts, "")
    end
  end
  return {"corrected"}
end

local todo = {
  hold = hold, settle = settle, fill = fill, balances = balances, dirty = dirty, clear = clear, mark = mark, note_part = note_part, unwritten = unwritten, state = state, correct = correct,
  forget = forget, parts = parts, drop_part = drop_part, point = point, where = where
}
return todo[ARGV[1]]()
