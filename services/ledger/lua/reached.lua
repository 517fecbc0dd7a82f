-- Note how far the journal is booked in this run of Redis; 0 if another one answers by now.
-- KEYS: the note. ARGV: the run that is meant, the number of the last message booked.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
if run ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], run .. ' ' .. ARGV[2])
return 1
