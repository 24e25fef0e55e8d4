import com.segment.analytics.Analytics;
import com.segment.analytics.Callback;
import com.segment.analytics.messages.AliasMessage;
import com.segment.analytics.messages.GroupMessage;
import com.segment.analytics.messages.IdentifyMessage;
import com.segment.analytics.messages.Message;
import com.segment.analytics.messages.MessageBuilder;
import com.segment.analytics.messages.PageMessage;
import com.segment.analytics.messages.ScreenMessage;
import com.segment.analytics.messages.TrackMessage;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Sends one message of each type through com.segment.analytics.java:analytics: java Segment &lt;host&gt; &lt;write key&gt; &lt;user&gt;. */
public final class Segment {
  public static void main(String[] arguments) throws InterruptedException {
    String host = arguments[0], writeKey = arguments[1], user = arguments[2];
    List<MessageBuilder<?, ?>> messages = List.of(
        IdentifyMessage.builder().userId(user).traits(Map.of("firstName", "Ada", "plan", "gold")),
        TrackMessage.builder("Order Completed").userId(user).properties(Map.of(
            "order_id", "order-" + user, "total", 12.5, "currency", "EUR",
            "products", List.of(Map.of("product_id", "p1", "quantity", 2, "price", 6.25)))),
        PageMessage.builder("Home").userId(user).properties(Map.of("url", "https://shop.example.com/")),
        ScreenMessage.builder("Start").userId(user),
        GroupMessage.builder("acme").userId(user).traits(Map.of("name", "Acme")),
        AliasMessage.builder("visitor-" + user).userId(user),
        TrackMessage.builder("Left").userId(user));

    CountDownLatch sent = new CountDownLatch(messages.size());
    Analytics analytics = Analytics.builder(writeKey).endpoint(host).callback(new Callback() {
      @Override
      public void success(Message message) {
        sent.countDown();
      }

      @Override
      public void failure(Message message, Throwable error) {
        error.printStackTrace();
        System.exit(1);
      }
    }).build();
    messages.forEach(analytics::enqueue);
    analytics.flush();
    boolean all = sent.await(30, TimeUnit.SECONDS);
    System.exit(all ? 0 : 2);
  }
}
