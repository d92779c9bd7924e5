#if INLAY_NETSTANDARD2_1
using System;
using System.Collections.Generic;
using System.Threading;
using System.Threading.Tasks;

namespace Inlay
{
    /// <summary>What an answer brings; each event is waited for on a thread of the pool.</summary>
    internal sealed class AsyncEvents<T> : IAsyncEnumerable<T> where T : class
    {
        private readonly Func<CancellationToken, T> next;
        private readonly Func<T, bool> isLast;

        public AsyncEvents(Func<CancellationToken, T> next, Func<T, bool> isLast)
        {
            this.next = next;
            this.isLast = isLast;
        }

        public IAsyncEnumerator<T> GetAsyncEnumerator(CancellationToken token = default(CancellationToken))
        {
            return new Enumerator(this, token);
        }

        private sealed class Enumerator : IAsyncEnumerator<T>
        {
            private readonly AsyncEvents<T> events;
            private readonly CancellationToken token;

            public Enumerator(AsyncEvents<T> events, CancellationToken token)
            {
                this.events = events;
                this.token = token;
            }

            public T Current { get; private set; }

            public ValueTask<bool> MoveNextAsync()
            {
                if (Current != null && events.isLast(Current)) return new ValueTask<bool>(false);
                return new ValueTask<bool>(Task.Run(() =>
                {
                    Current = events.next(token);
                    return true;
                }, token));
            }

            public ValueTask DisposeAsync() => new ValueTask(Task.CompletedTask);
        }
    }
}
#endif
